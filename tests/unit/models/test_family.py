"""A model family is one module: nothing else names one, and a second one works at once."""

import io
import re
import tokenize
from pathlib import Path

import pytest
import torch
from datasets import Image as ImageColumn
from datasets import List
from inference_cases import RECIPE, draw_rows
from PIL import Image
from qwen3_family import Qwen3VL, save_tiny
from sft_cases import dataset
from trainer_cases import SETTINGS
from transformers import Qwen3VLForConditionalGeneration
from trl import GRPOTrainer, SFTConfig, SFTTrainer

import legor1
from legor1.core.boxes import to_original, to_shown
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


@pytest.fixture
def base(monkeypatch, tmp_path):
    """A tiny Qwen3-VL, whose family is known for the test."""
    monkeypatch.setitem(registry.FAMILIES, "qwen3_vl", Qwen3VL())
    save_tiny(tmp_path / "base")
    return tmp_path / "base"


def sources():
    """Yield the package's modules beside those of the family: name and text."""
    for path in PACKAGE.rglob("*.py"):
        if not path.name.startswith("qwen2_5_vl"):
            yield path.relative_to(PACKAGE).as_posix(), path.read_text()


def test_no_module_beside_the_familys_names_its_classes():
    assert not [name for name, text in sources() if CLASSES.search(text)]
    own = (PACKAGE / "models/qwen2_5_vl.py").read_text()
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
    assert "Known: qwen2_5_vl." in message and "docs/family.md" in message


def test_the_family_of_a_base_is_told_by_its_config_else_by_its_repository(base, tmp_path):
    block = {"source": "huggingface", "huggingface": {"repo": "Qwen/Qwen2.5-VL-7B-Instruct"}}
    assert registry.family_of_base(block) is registry.DEFAULT
    assert registry.family_of_base(block, tmp_path) is registry.DEFAULT  # there is no model in it
    assert registry.family_of_base(block, base).model_type == "qwen3_vl"
    with pytest.raises(UserError, match=r"cannot be planned.*sizes of Qwen3-VL.*Remedy: "):
        registry.architecture_of_base(block, base)


def test_boxes_are_shown_in_the_frame_of_the_family():
    text, size = '[{"bbox_2d": [48, 36, 240, 180], "label": "x"}]', (480, 360)
    budget = Qwen3VL().budget(**LIMITS)
    shown = to_shown(text, size, budget)
    assert "[100, 100, 500, 500]" in shown
    assert to_original(shown, size, budget) == text
    assert budget.visual_tokens(size) == 6 * 4  # 192 x 128 pixels


def test_a_second_family_answers_as_transformers_generates(base, tmp_path):
    rows = draw_rows(tmp_path)
    recipe = RECIPE | {"pixel_budget": LIMITS, "repetition_penalty": 1.0, "max_new_tokens": 8}
    predictor = Predictor(recipe, tmp_path, base, None)
    answers = dict(predictor.engine.complete(predictor.prompts(rows)))
    model = Qwen3VLForConditionalGeneration.from_pretrained(base, dtype=torch.float32)
    for number, prompt in enumerate(predictor.prompts(rows)):
        images = [Image.open(tmp_path / picture.path) for picture in prompt.pictures]
        inputs = predictor.processor(text=[prompt.text], images=images, return_tensors="pt")
        assert inputs["input_ids"].size(1) == prompt.tokens
        with torch.inference_mode():
            made = model.generate(**inputs, do_sample=False, max_new_tokens=8)
        assert answers[number] == made[0, prompt.tokens :].tolist()
    assert len({tuple(answer) for answer in answers.values()}) > 1  # they depend on the prompt


def test_a_second_family_trains_by_the_stock_trainers(base, tmp_path, capsys):
    recipe = {"precision": "float32", "attention": "sdpa"}
    model = freeze_vision(load_model(base, recipe))
    lora = settings(2, 4, 0.0, Qwen3VL.lora_targets)
    assert sft.trainer_for(model, {}) is SFTTrainer
    assert grpo.trainer_for(model, lora, {}) is GRPOTrainer
    notice = capsys.readouterr().err
    assert "packed for Qwen2.5-VL, not Qwen3VL" in notice and "not Qwen3-VL" in notice
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
