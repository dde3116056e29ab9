"""LoRA in fewer passes, against PEFT's own."""

import pytest
import torch
from peft import LoraConfig, get_peft_model

from legor1.training.fast.lora_layers import fuse_lora, sole_adapter


class Small(torch.nn.Module):
    def __init__(self, bias):
        super().__init__()
        self.first = torch.nn.Linear(6, 10, bias=bias)
        self.second = torch.nn.Linear(10, 4, bias=bias)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


def models(bias=True, dtype=torch.float32, **lora):
    """Return twins, the second fused; what LoRA adds is not 0."""
    made = []
    for fuse in (False, True):
        torch.manual_seed(0)
        config = LoraConfig(r=3, lora_alpha=7, target_modules=["first", "second"], **lora)
        model = get_peft_model(Small(bias).to(dtype), config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_()
        if fuse:
            fuse_lora(model)
        made.append(model)
    return made


def passes(model, x):
    """Return the output and the gradients of the input and of LoRA, for some loss."""
    x = x.clone().requires_grad_()
    output = model(x)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(2))
    (output * weights).sum().backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert len(grads) == 4
    return {"output": output, "x": x.grad} | grads


def assert_same(plain, fused, x, **tolerance):
    expected, found = passes(plain, x), passes(fused, x)
    for name, value in expected.items():
        assert value.norm() > 0, name
        assert found[name].dtype == value.dtype, name
        torch.testing.assert_close(found[name], value, **tolerance)


def fused_layers(model):
    return [m for m in model.modules() if hasattr(m, "lora_A") and sole_adapter(m)]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 3, 6)])
def test_output_and_gradients_are_those_of_peft(bias, shape):
    plain, fused = models(bias)
    assert len(fused_layers(fused)) == 2
    assert_same(plain, fused, torch.randn(shape))


def test_under_autocast_the_precision_is_that_of_peft():
    plain, fused = models()
    with torch.autocast("cpu", torch.bfloat16):
        assert plain(torch.randn(5, 6)).dtype == fused(torch.randn(5, 6)).dtype == torch.bfloat16
        assert_same(plain, fused, torch.randn(5, 6), rtol=0.05, atol=0.1)


def test_mixed_precisions_without_autocast_are_left_to_peft():
    plain, fused = models(dtype=torch.bfloat16)
    x = torch.randn(5, 6, dtype=torch.bfloat16)
    assert {p.dtype for p in fused.parameters()} == {torch.bfloat16, torch.float32}
    assert torch.equal(plain(x), fused(x))


def test_dropout_is_left_to_peft():
    plain, fused = models(lora_dropout=0.5)
    assert not fused_layers(fused)
    x = torch.randn(5, 6)
    torch.manual_seed(1)
    expected = plain(x)
    torch.manual_seed(1)
    assert torch.equal(fused(x), expected)


def test_an_adapter_that_is_off_or_merged_adds_what_it_should():
    plain, fused = models()
    x = torch.randn(5, 6)
    with plain.disable_adapter(), fused.disable_adapter():
        assert torch.equal(fused(x), plain(x))
    before = fused(x)
    fused.merge_adapter()
    torch.testing.assert_close(fused(x), before)
    fused.unmerge_adapter()
    torch.testing.assert_close(fused(x), before)
