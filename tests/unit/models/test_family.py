"""A model family is one module: nothing else names one, and each works from data to answer."""

import io
import json
import re
import tokenize
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Image as ImageColumn
from datasets import List
from inference_cases import RECIPE, draw_rows
from PIL import Image
from sft_cases import dataset
from tiny_families import KINDS, save_tiny
from trainer_cases import SETTINGS
from transformers import AutoModelForImageTextToText
from trl import GRPOTrainer, SFTConfig, SFTTrainer

import legor1
from legor1.core.boxes import shown_size, to_original, to_shown
from legor1.core.errors import UserError
from legor1.core.files import write_json
from legor1.inference.predict import Predictor
from legor1.models import registry
from legor1.models.loading import freeze_vision, load_model, load_processor
from legor1.models.lora import settings
from legor1.training import grpo, sft

PACKAGE = Path(legor1.__file__).parent
CLASSES = re.compile(r"Qwen2_5_?VL|Qwen2_?VL|Qwen2Tokenizer|transformers\.models\.")
COLOURS = "data/synthetic/looks.py"  # a channel of one is as large as Qwen2.5-VL's factor
LIMITS = {"min_pixels": 4096, "max_pixels": 32768}


@pytest.fixture(params=KINDS)
def base(request, tmp_path):
    """A tiny model of each further family."""
    return save_tiny(tmp_path / "base", request.param)


def sources():
    """Yield the package's modules beside those of the family: name and text."""
    for path in PACKAGE.rglob("*.py"):
        if not path.name.startswith("qwen"):
            yield path.relative_to(PACKAGE).as_posix(), path.read_text()


def test_no_module_beside_the_familys_names_its_classes():
    assert not [name for name, text in sources() if CLASSES.search(text)]
    own = (PACKAGE / "models/qwen2_5_vl_tiny.py").read_text()
    assert CLASSES.search(own)  # so that the search finds what it looks for


def test_no_module_beside_the_familys_has_its_factor():
    for name, text in sources():
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        numbers = [token.string for token in tokens if token.type == tokenize.NUMBER]
        assert "28" not in numbers or name == COLOURS, name


def test_an_unknown_family_is_named_with_those_that_are_known(tmp_path):
    write_json(tmp_path / "config.json", {"model_type": "llava"})
    with pytest.raises(UserError) as error:
        load_model(tmp_path, RECIPE)
    message = str(error.value)
    assert f"{tmp_path / 'config.json'} is of the model type 'llava'" in message
    assert "Known: qwen2_5_vl, qwen3_5, qwen3_vl." in message and "docs/family.md" in message


def test_the_family_of_a_base_is_told_by_its_config_else_by_its_repository(tmp_path):
    block = {"source": "huggingface", "huggingface": {"repo": "Qwen/Qwen2.5-VL-7B-Instruct"}}
    assert registry.family_of_base(block) is registry.DEFAULT
    assert registry.family_of_base(block, tmp_path) is registry.DEFAULT  # there is no model in it
    newer = block | {"huggingface": {"repo": "Qwen/Qwen3-VL-4B-Instruct"}}
    assert registry.family_of_base(newer) is registry.FAMILIES["qwen3_vl"]
    base = save_tiny(tmp_path / "base", "qwen3_5")
    assert registry.family_of_base(block, base) is registry.FAMILIES["qwen3_5"]
    with pytest.raises(UserError, match=r"cannot be planned.*sizes of Qwen3\.5.*Remedy: "):
        registry.architecture_of_base(block, base)


@pytest.mark.parametrize("family", registry.FAMILIES.values(), ids=registry.FAMILIES)
def test_boxes_survive_the_way_into_the_familys_frame_and_back(family):
    """A unit of the frame is at most so many pixels; half of one is what rounding can cost."""
    draw = np.random.default_rng(0)
    budget = family.budget(3136, 602112)
    for _ in range(10_000):
        size = tuple(map(int, draw.integers(40, 2000, 2)))
        (x1, x2), (y1, y2) = (np.sort(draw.integers(0, side + 1, 2)).tolist() for side in size)
        text = f'[{{"bbox_2d": [{x1}, {y1}, {x2}, {y2}], "label": "x"}}]'
        shown = to_shown(text, size, budget)
        (back,) = json.loads(to_original(shown, size, budget))
        frame = shown_size(size, budget, "processed")
        unit = np.tile(np.divide(size, frame), 2)
        assert (np.abs(np.subtract(back["bbox_2d"], [x1, y1, x2, y2])) <= unit / 2 + 0.5).all()


def test_boxes_are_shown_in_thousandths_where_the_family_has_them():
    text, size = '[{"bbox_2d": [48, 36, 240, 180], "label": "x"}]', (480, 360)
    budget = registry.FAMILIES["qwen3_vl"].budget(**LIMITS)
    assert "[100, 100, 500, 500]" in to_shown(text, size, budget)
    assert budget.visual_tokens(size) == 6 * 4  # 192 x 128 pixels


def test_a_further_family_answers_as_transformers_generates(base, tmp_path):
    rows = draw_rows(tmp_path)
    recipe = RECIPE | {"pixel_budget": LIMITS, "repetition_penalty": 1.0, "max_new_tokens": 8}
    predictor = Predictor(recipe, tmp_path, base, None)
    answers = dict(predictor.engine.complete(predictor.prompts(rows)))
    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
    for number, prompt in enumerate(predictor.prompts(rows)):
        images = [Image.open(tmp_path / picture.path) for picture in prompt.pictures]
        inputs = predictor.processor(text=[prompt.text], images=images, return_tensors="pt")
        assert inputs["input_ids"].size(1) == prompt.tokens
        with torch.inference_mode():
            made = model.generate(**inputs, do_sample=False, max_new_tokens=8)
        assert answers[number] == made[0, prompt.tokens :].tolist()
    assert len({tuple(answer) for answer in answers.values()}) > 1  # they depend on the prompt


def test_a_family_that_packs_no_rows_trains_by_the_stock_trainers(tmp_path, capsys):
    base = save_tiny(tmp_path / "base", "qwen3_5")
    recipe = {"precision": "float32", "attention": "sdpa"}
    model = freeze_vision(load_model(base, recipe))
    lora = settings(2, 4, 0.0, registry.FAMILIES["qwen3_5"].lora_targets)
    assert sft.trainer_for(model, {}) is SFTTrainer
    assert grpo.trainer_for(model, lora, {}) is GRPOTrainer
    notice = capsys.readouterr().err
    assert "packed for Qwen2.5-VL and Qwen3-VL, not Qwen3_5" in notice
    assert "not Qwen3.5" in notice
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            **SETTINGS | {"max_steps": 1, "output_dir": str(tmp_path), "max_length": None}
        ),
        train_dataset=dataset().cast_column("images", List(ImageColumn())),
        processing_class=load_processor(
            base, registry.family_of(base).budget(**LIMITS), padding_side="left"
        ),
        peft_config=lora,
    )
    trainer.train()
    moved = {
        name: parameter.abs().sum().item()
        for name, parameter in trainer.model.named_parameters()
        if "lora_B" in name
    }
    assert moved and all(moved.values())  # they start as 0
    assert not [name for name in moved if "visual" in name]
    assert trainer.state.log_history[0]["loss"] > 0
