"""Adapters that may come from elsewhere: what of them is used, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from inference_cases import RECIPE, draw_rows
from peft import get_peft_model
from safetensors.torch import load_file, save_file
from trainer_cases import learn

from legor1.core.errors import UserError
from legor1.core.files import write_jsonl
from legor1.data.sources import describe_model
from legor1.inference.predict import predict
from legor1.models import lora
from legor1.models.loading import load_model
from legor1.models.registry import DEFAULT
from legor1.planning.preflight import TINY_BASE


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """An adapter as a training here leaves it, and the logits of the model that has it."""
    model = get_peft_model(
        load_model(TINY_BASE, RECIPE), lora.settings(2, 4, 0.1, DEFAULT.lora_targets)
    )
    learn(model)
    folder = tmp_path_factory.mktemp("sound")
    model.save_pretrained(folder)
    return folder, logits(model)


@pytest.fixture
def adapter(sound, tmp_path):
    return Path(shutil.copytree(sound[0], tmp_path / "adapter"))


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([[5, 6, 7, 8]])).logits


def change(adapter: Path, **changes) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


class Code:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_sound_adapter_is_used_as_it_was_trained(sound):
    assert torch.equal(logits(lora.load_adapted(TINY_BASE, sound[0], RECIPE)), sound[1])
    assert not torch.equal(logits(lora.load_adapted(TINY_BASE, None, RECIPE)), sound[1])


def test_where_an_adapter_says_its_base_lies_is_not_followed(sound, adapter):
    change(adapter, base_model_name_or_path="/nowhere", revision="x", peft_version="0")
    assert torch.equal(logits(lora.load_adapted(TINY_BASE, adapter, RECIPE)), sound[1])


def test_modules_may_be_given_by_name(adapter):
    change(adapter, target_modules=["q_proj", "v_proj"])
    assert lora.read_settings(adapter).target_modules == {"q_proj", "v_proj"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target_modules", "(([a-z_.0-9])*)*!"),  # takes for ever to match
        ("target_modules", ["q_proj", "(.*)*"]),
        ("target_modules", None),
        ("exclude_modules", "(([a-z_.0-9])*)*!"),
        ("rank_pattern", {"(([a-z_.0-9])*)*!": 8}),
        ("auto_mapping", {"base_model_class": "a", "parent_library": "antigravity"}),
        ("megatron_config", {"a": 1}),
        ("megatron_core", "antigravity"),
        ("peft_type", "IA3"),
        ("modules_to_save", ["lm_head"]),
        ("use_dora", True),
        ("use_rslora", True),
        ("unheard_of", 1),
        ("r", 0),
        ("r", "2"),
        ("r", True),
        ("r", 10**9),
        ("lora_alpha", float("nan")),
        ("lora_alpha", float("inf")),
        ("lora_dropout", 1.5),
    ],
)
def test_other_settings_than_a_training_here_has_are_refused(adapter, name, value):
    change(adapter, **{name: value})
    with pytest.raises(UserError, match=rf"adapter_config\.json has {name} .*Remedy"):
        lora.load_adapted(TINY_BASE, adapter, RECIPE)


@pytest.mark.parametrize("text", ["", "[]", "5", "{}"])
def test_what_is_no_settings_is_refused(adapter, text):
    (adapter / "adapter_config.json").write_text(text)
    with pytest.raises(UserError, match=r"adapter_config\.json .*Remedy"):
        lora.load_adapted(TINY_BASE, adapter, RECIPE)


def broken(adapter: Path, how: str) -> None:
    path = adapter / lora.WEIGHTS
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(content[:-100])
    elif how == "header":
        path.write_bytes(content[:8] + b"x" + content[9:])
    elif how == "length":
        path.write_bytes(b"\xff" * 8 + content[8:])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        weights = load_file(path)
        name = max(weights)
        weights[name][0, 0] = float(how)
        save_file(weights, path)


HOW = ("missing", "cut", "header", "length", "empty", "nan", "inf", "-inf")


@pytest.mark.parametrize("how", HOW)
def test_weights_that_are_damaged_or_no_numbers_are_refused(adapter, how):
    broken(adapter, how)
    fault = "holds NaN or infinity" if how.endswith(("nan", "inf")) else "cannot be read"
    with pytest.raises(UserError, match=rf"adapter_model\.safetensors.* {fault}.*Remedy"):
        lora.checked_weights(adapter)


def test_predicting_with_them_ends_before_the_first_answer(adapter, tmp_path):
    write_jsonl(tmp_path / "test.jsonl", draw_rows(tmp_path))
    describe_model(TINY_BASE, "workflow/base/tiny", None, tmp_path / "model.json")
    broken(adapter, "nan")
    out = tmp_path / "out/0.jsonl"
    inputs = (tmp_path / "test.jsonl", tmp_path, tmp_path / "model.json", adapter)
    with pytest.raises(UserError, match="holds NaN or infinity"):
        predict(RECIPE, *inputs, (0, 1), out)
    assert not out.parent.exists()


def test_weights_of_another_model_are_refused(adapter):
    path = adapter / lora.WEIGHTS
    weights = load_file(path)
    first = min(weights)
    save_file({name: one for name, one in weights.items() if name != first}, path)
    with pytest.raises(UserError, match=r"does not fit the model .*lora_A.*Remedy"):
        lora.load_adapted(TINY_BASE, adapter, RECIPE)
    save_file(weights | {first: weights[first][:, :-1].contiguous()}, path)
    with pytest.raises(UserError, match=r"does not fit the model .*size mismatch(.|\n)*Remedy"):
        lora.load_adapted(TINY_BASE, adapter, RECIPE)


@pytest.mark.parametrize("alone", [False, True])
def test_a_pickle_is_never_loaded(sound, adapter, tmp_path, alone):
    torch.save(Code(tmp_path / "made"), adapter / "adapter_model.bin")
    if alone:
        (adapter / lora.WEIGHTS).unlink()
        with pytest.raises(UserError, match=r"safetensors cannot be read"):
            lora.load_adapted(TINY_BASE, adapter, RECIPE)
    else:
        assert torch.equal(logits(lora.load_adapted(TINY_BASE, adapter, RECIPE)), sound[1])
    assert not (tmp_path / "made").exists()
