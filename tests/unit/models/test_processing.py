"""Every resizer compared with the pixel budget, and prompts that are too long."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from qwen_vl_utils import process_vision_info
from qwen_vl_utils.vision_process import smart_resize
from transformers import Qwen2VLImageProcessor, Qwen2VLImageProcessorPil

from legor1.core.errors import UserError
from legor1.core.files import write_json, write_jsonl
from legor1.data.sources import describe_model
from legor1.inference.predict import predict
from legor1.models import loading
from legor1.models.registry import DEFAULT
from legor1.planning.preflight import TINY_BASE
from legor1.tasks.prompts import answer, chat_messages
from legor1.training.job import Job

BUDGETS = [DEFAULT.budget(3136, 2038400), DEFAULT.budget(9408, 15680), DEFAULT.budget(784, 589824)]
FIXTURE = Path(__file__).parents[2] / "fixtures" / "qwen_prompts" / "prompts.json"
ROWS = [
    one["conversation"] | {"variant": "plain"} for one in json.loads(FIXTURE.read_text())["prompts"]
]
BUDGET = BUDGETS[0]


def image_processor(budget, kind=Qwen2VLImageProcessor):
    return kind(size={"shortest_edge": budget.min_pixels, "longest_edge": budget.max_pixels})


@pytest.fixture(scope="module")
def processor():
    return loading.load_processor(TINY_BASE, BUDGET, padding_side="left")


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
@pytest.mark.parametrize("kind", [Qwen2VLImageProcessor, Qwen2VLImageProcessorPil])
def test_every_resizer_does_as_the_budget_says(budget, kind):
    loading.check_frames(image_processor(budget, kind), budget)


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
@pytest.mark.parametrize("size", loading.PROBE_SIZES, ids=str)
def test_qwens_own_resizer_does_as_the_budget_says(budget, size):
    edges = {"min_pixels": budget.min_pixels, "max_pixels": budget.max_pixels}
    shown = {"type": "image", "image": Image.new("RGB", size)} | edges
    (resized,), _ = process_vision_info([{"role": "user", "content": [shown]}], image_patch_size=14)
    assert resized.size == budget.processed_size(size)
    assert budget.processed_size(resized.size) == resized.size


@pytest.mark.parametrize("budget", BUDGETS[1:], ids=str)
def test_a_processor_under_another_budget_is_refused(budget):
    with pytest.raises(RuntimeError, match=r"the image processor resizes .* wrong frame"):
        loading.check_frames(image_processor(budget), BUDGET)


@given(st.integers(14 + 1, 6000), st.integers(14 + 1, 6000), st.sampled_from(BUDGETS))
@settings(max_examples=300)
def test_qwen_vl_utils_agree_on_any_image_whose_sides_are_a_token_at_least(width, height, budget):
    if max(width, height) / min(width, height) > 200:
        return
    expected = budget.processed_size((width, height))
    if min(expected) == DEFAULT.factor:
        return  # an image that thin is shrunk to nothing by qwen-vl-utils
    rows, columns = smart_resize(
        height, width, DEFAULT.factor, budget.min_pixels, budget.max_pixels
    )
    assert (columns, rows) == expected


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["instance_id"])
@pytest.mark.parametrize("demonstrations", [True, False])
@pytest.mark.parametrize("answered", [True, False])
def test_lengths_are_those_of_the_processor(processor, row, demonstrations, answered):
    turns = chat_messages(row, BUDGET, demonstrations=demonstrations)
    if answered:
        said = [{"type": "text", "text": answer(row, BUDGET)}]
        turns.append({"role": "assistant", "content": said})
    text = processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=not answered)
    shown = [*(row["demonstrations"] if demonstrations else []), row]
    images = [Image.new("RGB", (one["width"], one["height"])) for one in shown]
    inputs = processor(text=[text], images=images)
    (length,) = loading.lengths([row], processor, BUDGET, demonstrations, answered=answered)
    assert length == len(inputs["input_ids"][0])


def check(processor, limit, new_tokens):
    loading.check_lengths(
        ROWS, processor, BUDGET, demonstrations=True, limit=limit, new_tokens=new_tokens
    )


def test_a_prompt_that_is_too_long_is_an_error_with_its_id(processor):
    tokens = sorted(loading.lengths(ROWS, processor, BUDGET, True, answered=False))
    check(processor, tokens[-1] + 10, 10)
    with pytest.raises(UserError, match=rf"^object/1 takes {tokens[-1] + 11} tokens with room for"):
        check(processor, tokens[-1] + 10, 11)
    with pytest.raises(UserError, match=r"1 more are too long.*never cut.*Remedy: "):
        check(processor, tokens[-2] - 1, 0 + 1)
    with pytest.raises(UserError, match="tokens with its answer"):
        check(processor, tokens[-1], None)


def test_the_limit_is_the_models_context():
    assert loading.context_length(TINY_BASE) == 4096


@pytest.fixture
def stage(tmp_path):
    """The inputs of a stage, and a recipe whose limit lies below every prompt."""
    write_jsonl(tmp_path / "rows.jsonl", ROWS)
    describe_model(TINY_BASE, "tiny", None, tmp_path / "model.json")
    recipe = {"experiment": "e", "device": "cpu", "precision": "float32", "attention": "sdpa"}
    recipe |= {
        "threads": 1,
        "pixel_budget": {"min_pixels": 3136, "max_pixels": 2038400},
        "max_tokens": 100,
        "seed": 1,
    }
    return tmp_path, recipe | {"demonstrations": True}


def test_inference_stops_before_its_first_answer(stage):
    folder, recipe = stage
    recipe |= {"engine": "transformers", "batch_size": 1, "batch_tokens": None}
    recipe |= {"max_new_tokens": 8}
    rows, base = folder / "rows.jsonl", folder / "model.json"
    with pytest.raises(UserError, match=r"^object/1 takes \d+ tokens with room for 8 new ones"):
        predict(recipe, rows, folder, base, None, (0, 1), folder / "out.jsonl")
    assert not (folder / "out.jsonl").exists()


@pytest.mark.parametrize("training", [{}, {"max_new_tokens": 8}])
def test_training_stops_before_an_image_is_opened(stage, training):
    folder, recipe = stage
    recipe |= {"tasks": ["object"], "rows_per_task": 9, "training": training}
    paths = {"conversations": "rows.jsonl", "tree": ".", "base": "model.json"}
    facts = {name: str(folder / path) for name, path in paths.items()}
    write_json(
        folder / "job.json",
        {"recipe": recipe, "work": str(folder), "out": str(folder)} | facts,
    )
    follows = "room for 8 new ones" if training else "its answer"
    with pytest.raises(UserError, match=rf"^object/1 takes \d+ tokens with {follows}"):
        Job(folder / "job.json").dataset()
