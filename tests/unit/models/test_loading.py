import re

import pytest
import torch
from PIL import Image

from legor1.core import images
from legor1.core.boxes import PixelBudget
from legor1.core.errors import UserError
from legor1.core.files import write_json
from legor1.models import loading
from legor1.models.registry import DEFAULT, base_folder
from legor1.planning.preflight import TINY_BASE

BUDGET = DEFAULT.budget(9408, 15680)
RECIPE = {"precision": "float32", "attention": "sdpa"}


def test_the_processor_obeys_the_budget():
    processor = loading.load_processor(TINY_BASE, BUDGET, padding_side="left")
    inputs = processor.image_processor(images=[Image.new("RGB", (480, 360))], return_tensors="pt")
    assert inputs["image_grid_thw"].tolist() == [[1, 6, 10]]  # 84 x 140 pixels in patches of 14
    assert processor.tokenizer.padding_side == "left"


def test_a_processor_that_resizes_otherwise_is_refused(monkeypatch):
    monkeypatch.setattr(PixelBudget, "processed_size", lambda self, size: (28, 28))
    with pytest.raises(RuntimeError, match="wrong frame"):
        loading.load_processor(TINY_BASE, BUDGET, padding_side="left")


def test_lora_reaches_every_layer_of_the_language_model_and_none_of_the_tower():
    model = loading.load_model(TINY_BASE, RECIPE)
    linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    targets = [name for name in linear if re.fullmatch(DEFAULT.lora_targets, name)]
    layers = model.config.text_config.num_hidden_layers
    assert len(targets) == 7 * layers
    assert not [name for name in targets if "visual" in name]
    assert {name for name in linear if "language_model" in name} == set(targets)


def test_without_flash_attention_sdpa_is_used_and_said_aloud(monkeypatch, capsys):
    monkeypatch.setattr(loading, "is_flash_attn_2_available", lambda: False)
    model = loading.load_model(TINY_BASE, RECIPE | {"attention": "flash_attention_2"})
    assert model.config._attn_implementation == "sdpa"
    assert model.config.vision_config._attn_implementation == "sdpa"
    said = capsys.readouterr().err
    assert "flash_attention_2 cannot be used here, so attention is sdpa" in said
    assert "Remedy: pip install flash-attn" in said


def test_flash_attention_is_used_where_it_is(monkeypatch, capsys):
    monkeypatch.setattr(loading, "is_flash_attn_2_available", lambda: True)
    assert loading.usable_attention("flash_attention_2") == "flash_attention_2"
    assert loading.usable_attention("sdpa") == "sdpa"
    assert capsys.readouterr().err == ""


def test_a_base_that_moved_away_is_named(tmp_path):
    write_json(tmp_path / "model.json", {"path": "gone"})
    with pytest.raises(UserError, match="holds no model"):
        base_folder(tmp_path / "model.json")


def test_an_unreadable_image_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"a\.png cannot be read as an image"):
        images.open_image(tmp_path / "a.png")
