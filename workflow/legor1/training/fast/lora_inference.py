"""LoRA for inference: layers without PEFT's bookkeeping, for the many small steps of a rollout.

A decoding step computes little but asks every layer to, and looking up adapters, variants and
dropout then takes longer than the products. Here only the products are left, the same ones in the
same order, so that the results are the same to the last bit.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.lora import Linear
from torch.nn.functional import linear

from legor1.training.fast.fused_lora import sole_adapter


@contextmanager
def direct_lora(model: torch.nn.Module) -> Iterator[int]:
    """Within, the model's LoRA layers compute directly; gives how many do.

    A layer is left as it is unless it has exactly one adapter, switched on, not merged, of the
    plain kind, on a plain layer, without dropout to draw. The weights must not change within.
    """
    layers: list[Any] = [m for m in model.modules() if isinstance(m, Linear) and plain(m)]
    for layer in layers:
        layer.forward = products(layer)
    try:
        yield len(layers)
    finally:
        for layer in layers:
            del layer.forward


def plain(layer: Any) -> bool:
    """Return whether ``products`` says all that the layer does."""
    name = sole_adapter(layer)
    if name is None or "forward" in vars(layer):
        return False
    parts = (layer.get_base_layer(), layer.lora_A[name], layer.lora_B[name])
    if any(part._forward_pre_hooks or part._forward_hooks for part in parts):
        return False  # ZeRO-3 fetches weights in hooks
    dropout = layer.lora_dropout[name]
    return not dropout.training or isinstance(dropout, torch.nn.Identity)


def products(layer: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the forward function of a layer for which ``plain`` holds."""
    (name,) = layer.active_adapters
    base, down, up = layer.get_base_layer(), layer.lora_A[name], layer.lora_B[name]
    weight, bias, scaling = base.weight, base.bias, layer.scaling[name]
    first, second = (down.weight, down.bias), (up.weight, up.bias)

    def forward(x: torch.Tensor) -> torch.Tensor:
        result = linear(x, weight, bias)
        added = linear(linear(x.to(first[0].dtype), *first), *second) * scaling
        return (result + added).to(result.dtype)

    return forward
