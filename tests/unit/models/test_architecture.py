"""The sizes of the real models, against transformers' own models on the meta device."""

import json
import re
from functools import cache

import peft
import pytest
import torch
from peft.tuners.lora import LoraLayer
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from legor1.core.errors import UserError
from legor1.models.family import Architecture
from legor1.models.registry import DEFAULT, architecture_of_base, family_of_base
from legor1.planning.preflight import TINY_BASE
from legor1.training.job import Job

# Of the model cards: all parameters, those of the tower; and of our LoRA of rank 8.
PUBLISHED = {
    "Qwen/Qwen2.5-VL-7B-Instruct": (8_292_166_656, 676_550_144, 20_185_088),
    "Qwen/Qwen2.5-VL-3B-Instruct": (3_754_622_976, 668_684_288, 14_966_784),
    "Qwen/Qwen3-VL-2B-Instruct": (2_127_532_032, 406_957_056, 8_716_288),
    "Qwen/Qwen3-VL-4B-Instruct": (4_437_815_808, 415_347_712, 16_515_072),
    "Qwen/Qwen3-VL-8B-Instruct": (8_767_123_696, 576_388_336, 21_823_488),
}
ON_HUB = {"source": "huggingface", "huggingface": {"repo": "Qwen/Qwen2.5-VL-3B-Instruct"}}


CLASSES = {
    "qwen2_5_vl": lambda c: Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**c)),
    "qwen3_vl": lambda c: Qwen3VLForConditionalGeneration(Qwen3VLConfig(**c)),
}


def family_of(repo: str):
    return family_of_base({"source": "huggingface", "huggingface": {"repo": repo}})


def architecture(repo: str) -> Architecture:
    return family_of(repo).architecture(repo, family_of(repo).known[repo])


def count(parameters) -> int:
    return sum(parameter.numel() for parameter in parameters)


@cache
def adapted(repo: str):
    """The real model with our LoRA, shapes alone."""
    family = family_of(repo)
    made = CLASSES[family.model_type]
    with torch.device("meta"):
        base = made(family.known[repo])
        base.tie_weights()
        total, tower = count(base.parameters()), count(base.model.visual.parameters())
        job = Job.__new__(Job)
        job.family = family
        job.recipe = {"lora": {"r": 8, "alpha": 16, "dropout": 0.0}}
        model = peft.get_peft_model(base, job.lora())
    return model, total, tower


@pytest.mark.parametrize("repo", PUBLISHED)
def test_the_real_models_have_the_published_numbers_of_parameters(repo):
    arch = architecture(repo)
    model, total, tower = adapted(repo)
    trainable = count(p for p in model.parameters() if p.requires_grad)
    assert (total, tower, trainable) == PUBLISHED[repo]
    formulas = (arch.parameters(), arch.vision.parameters(), arch.lora_parameters(8))
    assert formulas == PUBLISHED[repo]
    assert arch.context == (128000 if "2.5" in repo else 262144)


@pytest.mark.parametrize("repo", PUBLISHED)
def test_every_target_gets_its_lora_and_nothing_of_the_tower_trains(repo):
    model, _, _ = adapted(repo)
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    assert not [name for name in trainable if "visual" in name]
    assert all(".lora_A." in name or ".lora_B." in name for name in trainable)
    adapted_modules = {n for n, m in model.named_modules() if isinstance(m, LoraLayer)}
    targets = {
        name
        for name, module in model.named_modules()
        if re.fullmatch(family_of(repo).lora_targets, name) and "base_layer" not in name
    }
    assert adapted_modules == targets
    assert len(targets) == 7 * architecture(repo).text.num_hidden_layers


@pytest.mark.parametrize("repo", PUBLISHED)
def test_the_saved_adapter_has_a_pair_of_keys_for_each_target(repo):
    model, _, _ = adapted(repo)
    arch = architecture(repo)
    saved = peft.get_peft_model_state_dict(model)
    front = "base_model.model.model.language_model.layers"
    expected = {}
    for layer in range(arch.text.num_hidden_layers):
        for name, (inner, outer) in arch.text.linear_layers().items():
            block = "mlp" if name in ("gate_proj", "up_proj", "down_proj") else "self_attn"
            expected[f"{front}.{layer}.{block}.{name}.lora_A.weight"] = (8, inner)
            expected[f"{front}.{layer}.{block}.{name}.lora_B.weight"] = (outer, 8)
    assert {name: tuple(tensor.shape) for name, tensor in saved.items()} == expected


def test_the_tiny_base_is_counted_from_its_own_config():
    config = json.loads((TINY_BASE / "config.json").read_text())
    model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig.from_pretrained(TINY_BASE))
    assert DEFAULT.architecture("tiny", config).parameters() == count(model.parameters())


def test_a_flat_config_is_read_as_the_hub_writes_it():
    nested = DEFAULT.known["Qwen/Qwen2.5-VL-7B-Instruct"]
    flat = nested["text_config"] | {"vision_config": nested["vision_config"]}
    assert DEFAULT.architecture("a", flat) == DEFAULT.architecture("a", nested)


def test_a_base_that_lies_here_goes_before_what_is_known(tmp_path):
    assert architecture_of_base(ON_HUB, tmp_path).text.hidden_size == 2048
    (tmp_path / "config.json").write_text(json.dumps(DEFAULT.known["Qwen/Qwen2.5-VL-7B-Instruct"]))
    assert architecture_of_base(ON_HUB, tmp_path).text.hidden_size == 3584


def test_a_base_to_be_rebuilt_is_read_off_its_recipe():
    text = {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 6}
    text |= {"num_key_value_heads": 2, "intermediate_size": 512}
    vision = {"depth": 4, "hidden_size": 128, "intermediate_size": 320}
    recipe = {"vocabulary": 1024, "model": {"text": text, "vision": vision}}
    arch = architecture_of_base({"source": "rebuild", "rebuild": recipe}, None)
    config = json.loads((TINY_BASE / "config.json").read_text())
    # The recipe's vocabulary lacks the numbers and phrases that are one token each.
    assert 1024 < config["text_config"]["vocab_size"] < 1.2 * 1024
    config["text_config"]["vocab_size"] = 1024
    assert arch == Architecture(**vars(DEFAULT.architecture("rebuild", config)))


@pytest.mark.parametrize("config", [{}, {"text_config": {"hidden_size": 8}}])
def test_a_config_of_another_model_is_an_error(config):
    with pytest.raises(UserError, match=r"describes no Qwen2\.5-VL"):
        DEFAULT.architecture("other", config)


def test_an_unknown_base_is_an_error_that_names_the_known_ones():
    with pytest.raises(UserError, match=r"a/b are not known.*Qwen2\.5-VL-3B"):
        architecture_of_base({"source": "huggingface", "huggingface": {"repo": "a/b"}}, None)
