import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

from legor1.models.registry import DEFAULT
from legor1.planning.preflight import TINY_BASE
from legor1.tasks.discovery import TASKS
from legor1.training import tiny_base

BUDGET = DEFAULT.budget(9408, 15680)
SIZES = json.loads((TINY_BASE / "recipe.json").read_text())["model"]


@pytest.fixture(scope="module")
def tokenizer():
    texts = [
        "Which parts are needed for this step?",
        '[{"bbox_2d": [1, 2, 3, 4], "label": "brick"}]',
    ]
    return tiny_base.make_tokenizer(texts, 300, tiny_base.SINGLE_TOKENS)


def processor_for(tokenizer):
    image_settings = DEFAULT.image_settings(BUDGET)
    return tiny_base.make_processor(
        tokenizer, image_settings, tiny_base.BACKGROUND, tiny_base.CONTRAST
    )


def test_each_number_is_one_token_and_text_comes_back(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = type(tokenizer).from_pretrained(tmp_path)
    for number in (0, 7, 12, 139, tiny_base.NUMBERS - 1):
        assert len(loaded(str(number))["input_ids"]) == 1
    text = 'Label "2 red 2x4 brick" at [12, 34, 56, 139], ümläut 積木.\n'
    assert loaded.decode(loaded(text)["input_ids"]) == text


def test_fixed_phrases_are_single_tokens(tokenizer):
    plain, asked = "Which parts?", f"Which parts? {TASKS['object'].prompt.directive}"
    assert len(tokenizer(asked)["input_ids"]) == len(tokenizer(plain)["input_ids"]) + 1


def test_loss_falls_on_assistant_turns_alone(tokenizer, tmp_path):
    Image.new("RGB", (480, 360)).save(tmp_path / "a.png")
    processor = processor_for(tokenizer)
    row = {"task": "state", "image": "a.png", "width": 480, "height": 360, "prompt": "Done?"}
    row |= {
        "response": "Yes.",
        "box_frame": "processed",
        "demonstrations": [row | {"response": "No."}],
    }
    batch = tiny_base.Examples([row], tmp_path, processor, BUDGET, 1).batch(
        [row], demonstrations=True
    )
    (labels,) = batch["labels"]
    said = tokenizer.decode(labels[labels != tiny_base.IGNORED])
    assert said == "No.<|im_end|>Yes.<|im_end|>"
    assert (batch["input_ids"] == tokenizer.convert_tokens_to_ids("<|image_pad|>")).sum() == 2 * 15


def test_its_batches_equal_those_of_the_processor(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(tiny_base, "DARKEST", 1.0)  # white paper
    Image.new("RGB", (360, 480), "red").save(tmp_path / "a.png")
    processor = processor_for(tokenizer)
    row = {"task": "state", "image": "a.png", "width": 360, "height": 480, "prompt": "Done?"}
    row |= {"response": "Yes.", "box_frame": "processed", "demonstrations": []}
    batch = tiny_base.Examples([row], tmp_path, processor, BUDGET, 1).batch(
        [row], demonstrations=False
    )
    turns = tiny_base.chat_messages(row, BUDGET, demonstrations=False)
    turns.append({"role": "assistant", "content": [{"type": "text", "text": "Yes."}]})
    text = processor.apply_chat_template(turns, tokenize=False)
    expected = processor(text=[text], images=[Image.open(tmp_path / "a.png")], return_tensors="pt")
    for name in ("input_ids", "attention_mask", "image_grid_thw", "mm_token_type_ids"):
        assert batch[name].tolist() == expected[name].tolist(), name
    torch.testing.assert_close(batch["pixel_values"], expected["pixel_values"], atol=2e-3, rtol=0)


def test_the_shipped_model_is_what_its_recipe_says():
    weights = TINY_BASE / "model.safetensors"
    assert weights.stat().st_size <= 6e6
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(TINY_BASE)
    assert 1e6 <= sum(p.numel() for p in model.parameters()) <= 3e6
    processor = AutoProcessor.from_pretrained(TINY_BASE)
    made = tiny_base.make_model(processor.tokenizer, SIZES)
    shapes = [(name, p.shape) for name, p in made.named_parameters()]
    assert shapes == [(name, p.shape) for name, p in model.named_parameters()]
    log = [json.loads(line) for line in (TINY_BASE / "training_log.jsonl").open()]
    recipe = json.loads((TINY_BASE / "recipe.json").read_text())
    assert log[-1]["step"] == recipe["steps"]
    assert log[-1]["loss/object"] < log[0]["loss/object"] / 3


def test_every_picture_has_paper_of_its_own_tint(tokenizer, tmp_path):
    rows = []
    for name in ("a.png", "b.png"):
        Image.new("RGB", (480, 360), "white").save(tmp_path / name)
        rows.append({"task": "state", "image": name, "width": 480, "height": 360, "prompt": ""})
        rows[-1] |= {"response": "Yes.", "box_frame": "processed", "demonstrations": []}
    processor = processor_for(tokenizer)
    first, second = (
        tiny_base.Examples(rows, tmp_path, processor, BUDGET, 1).batch([row], demonstrations=False)
        for row in rows
    )
    again = tiny_base.Examples(rows, tmp_path, processor, BUDGET, 1).batch(
        rows[:1], demonstrations=False
    )
    assert first["pixel_values"].tolist() == again["pixel_values"].tolist()
    assert not torch.equal(first["pixel_values"], second["pixel_values"])


@pytest.mark.slow
def test_a_shortened_build_learns(tmp_path):
    from legor1.config.settings import load
    from legor1.data import conversations, split
    from legor1.data.lego_arta import index
    from legor1.data.synthetic.dataset import parse_sizes, synthesize

    recipe = load(Path("config.yaml"), {})["base"]["rebuild"]
    sizes = parse_sizes(",".join(recipe["scenes"]["image_sizes"]))
    synthesize(
        tmp_path / "tree", manuals=12, steps=3, objects=20, seed=1, image_sizes=sizes, look="sketch"
    )
    records = index.index(tmp_path / "tree").records
    sides = split.split(records, seed=1, test_fraction=0.25, tree=tmp_path / "tree")
    rows = conversations.Conversations(records, sides, seed=1)
    conversations.write_conversations(rows, tmp_path / "conversations")
    shortened = recipe["training"] | {"steps": 150, "warmup": 10, "batch_size": 8, "threads": 1}
    train = tmp_path / "conversations/plain/train.jsonl"
    tiny_base.build(shortened, train, tmp_path / "tree", tmp_path / "base")
    log = [json.loads(line) for line in (tmp_path / "base" / "training_log.jsonl").open()]
    assert log[-1]["loss/object"] < log[0]["loss/object"] / 2
    AutoProcessor.from_pretrained(tmp_path / "base")
    Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path / "base")
