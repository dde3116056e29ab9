"""LoRA's layers with only their products left, against PEFT's own."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from legor1.training.fast.lora_layers import direct_lora


def model(dtype=torch.float32, **lora):
    """Two layers, one of them with a bias, under LoRA that has learned something."""
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Linear(8, 5, bias=False))
    settings = {"r": 2, "lora_alpha": 6, "target_modules": ["0", "1"]}
    made = get_peft_model(layers.to(dtype), LoraConfig(**settings | lora))
    for name, parameter in made.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_()
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_the_results_are_the_same_to_the_last_bit(dtype):
    made, x = model(dtype), torch.randn(3, 4, 6).to(dtype)
    expected = made(x)
    with direct_lora(made) as layers:
        found = made(x)
    assert layers == 2
    assert found.dtype == dtype
    assert torch.equal(found, expected)
    assert torch.equal(made(x), expected)


@torch.no_grad()
def test_afterwards_the_layers_are_what_they_were():
    made, x = model(), torch.randn(2, 6)
    with pytest.raises(KeyError), direct_lora(made):
        raise KeyError
    with made.disable_adapter():
        assert torch.equal(made(x), made.get_base_model()(x))
    made.get_base_model()[0].lora_B["default"].weight.zero_()
    assert not any("forward" in vars(layer) for layer in made.modules())


def merged():
    made = model()
    made.merge_adapter()
    return made


def two_adapters():
    made = model()
    made.add_adapter("more", LoraConfig(r=2, target_modules=["0", "1"]))
    made.base_model.set_adapter(["default", "more"])
    return made


def dropping():
    return model(lora_dropout=0.5).train()


@pytest.mark.parametrize("unusual", [merged, two_adapters, dropping])
@torch.no_grad()
def test_what_is_not_plain_is_left_alone(unusual):
    made, x = unusual(), torch.randn(2, 6)
    torch.manual_seed(1)
    expected = made(x)
    torch.manual_seed(1)
    with direct_lora(made) as layers:
        assert layers == 0
        assert torch.equal(made(x), expected)
