"""Lengths of prompts: the estimate against Qwen's own vocabulary, sizes against its processor."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from legor1.config.models import Dataset
from legor1.models.loading import load_processor
from legor1.models.registry import DEFAULT
from legor1.planning import tokens
from legor1.planning.preflight import TINY_BASE
from legor1.tasks.prompts import answer, chat_messages

FIXTURE = Path(__file__).parents[2] / "fixtures" / "qwen_prompts"
FACTS = json.loads((FIXTURE / "prompts.json").read_text(encoding="utf-8"))
BUDGET = DEFAULT.budget(**FACTS["pixel_budget"])
PROMPTS = FACTS["prompts"]
IMAGE_PAD = 151655


@pytest.fixture(scope="module")
def processor():
    return load_processor(TINY_BASE, BUDGET, padding_side="left")


def turns(prompt):
    return chat_messages(prompt["conversation"], BUDGET, demonstrations=True)


def images(prompt):
    row = prompt["conversation"]
    return [(one["width"], one["height"]) for one in (*row["demonstrations"], row)]


def names(prompts):
    return [f"{p['conversation']['instance_id']}-{len(images(p))}" for p in prompts]


@pytest.fixture(params=PROMPTS, ids=names(PROMPTS))
def prompt(request):
    return request.param


def test_the_fixture_holds_the_prompts_as_they_are_made_today(prompt, processor):
    made = processor.apply_chat_template(turns(prompt), tokenize=False, add_generation_prompt=True)
    assert made == prompt["text"]
    assert answer(prompt["conversation"], BUDGET) == prompt["answer"]


def test_qwens_processor_resizes_every_image_as_the_budget_says(prompt):
    sizes = [(14 * columns, 14 * rows) for _, rows, columns in prompt["image_grid_thw"]]
    assert sizes == [BUDGET.processed_size(size) for size in images(prompt)]


def test_visual_tokens_make_up_the_rest_of_the_prompt(prompt):
    visual = sum(map(BUDGET.visual_tokens, images(prompt)))
    pads = prompt["text_ids"].count(IMAGE_PAD)
    assert pads == len(images(prompt))
    assert prompt["tokens"] == len(prompt["text_ids"]) - pads + visual


def test_text_is_estimated_as_qwens_vocabulary_counts_it(prompt):
    pads = prompt["text_ids"].count(IMAGE_PAD)
    counted = len(prompt["text_ids"]) - pads
    assert tokens.text_tokens(turns(prompt), tokens.estimate) == pytest.approx(counted, rel=0.03)
    assert tokens.estimate(prompt["answer"]) == pytest.approx(prompt["answer_tokens"], rel=0.05)


def test_a_tokenizer_that_is_here_counts_exactly(processor):
    count = tokens.counter(TINY_BASE)
    text = PROMPTS[1]["text"].replace("<|image_pad|>", "")
    assert count(text) == len(processor.tokenizer(text)["input_ids"])
    assert tokens.counter(None) is tokens.estimate


def test_conversations_are_counted_by_task():
    rows = [prompt["conversation"] for prompt in PROMPTS]
    loads = tokens.measured(rows, BUDGET, tokens.estimate, demonstrations=True)
    assert {task: load.rows for task, load in loads.items()} == {
        "object": 3,
        "grounding": 2,
        "state": 2,
    }
    one, two = (sum(map(BUDGET.visual_tokens, images(p))) for p in PROMPTS[:2])
    assert loads["object"].visual == tokens.Spread((one + 2 * two) / 3, two)
    assert loads["object"].prompt.most == pytest.approx(PROMPTS[2]["tokens"], rel=0.01)
    alone = tokens.measured(rows, BUDGET, tokens.estimate, demonstrations=False)
    assert alone["object"].visual == tokens.Spread(one, one)


def test_what_cannot_be_counted_is_assumed_to_fill_the_budget():
    loads = tokens.assumed(Dataset(source="huggingface"), 0.25, BUDGET, demonstrations=True)
    assert {task: load.rows for task, load in loads.items()} == {
        "object": 4784,
        "grounding": 1403,
        "state": 2716,
        "question": 0,
    }
    assert loads["state"].visual.most == 3 * 2600
    sizes = ["480x360", "28x28"]
    scenes = {"manuals": 8, "steps": 3, "objects": 4, "seed": 7, "image_sizes": sizes}
    dataset = Dataset(source="synthetic", synthetic=scenes)
    drawn = tokens.assumed(dataset, 1.0, BUDGET, demonstrations=False)
    assert {task: load.rows for task, load in drawn.items()} == {
        "object": 32,
        "grounding": 24,
        "state": 48,
        "question": 0,
    }
    sizes = [BUDGET.visual_tokens(size) for size in ((480, 360), (28, 28))]
    assert drawn["object"].visual == tokens.Spread(sum(sizes) / 2, max(sizes))


def test_assumed_texts_are_about_as_long_as_the_studys_own():
    for prompt in PROMPTS:
        task = prompt["conversation"]["task"]
        before = len(images(prompt)) - 1
        hub = Dataset(source="huggingface")
        shown = tokens.assumed(hub, 1, BUDGET, demonstrations=before > 0)[task]
        text = prompt["tokens"] - sum(map(BUDGET.visual_tokens, images(prompt)))
        assert text <= shown.text.most


def test_loads_are_put_together_by_their_rows():
    few = tokens.Load(1, *(tokens.Spread(10, 20) for _ in range(3)))
    many = tokens.Load(3, *(tokens.Spread(20, 60) for _ in range(3)))
    both = tokens.together([few, many])
    assert (both.rows, both.visual) == (4, tokens.Spread(17.5, 60))
    assert tokens.together([]).rows == 0


@pytest.mark.slow
def test_the_fixture_is_made_from_qwens_vocabulary(tmp_path):
    out = tmp_path / "prompts.json"
    command = [sys.executable, str(FIXTURE / "make.py"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == (FIXTURE / "prompts.json").read_bytes()
