"""LoRA in as few passes over memory as it takes; the numbers are PEFT's, up to rounding.

PEFT computes ``base(x) + B(A(x)) * scaling`` as it reads: three tensors of the output's size are
written where one would do, and as many in the backward pass. With a rank of 8 a layer's adapter
then takes a third of the time of the layer itself, though it has few operations. Here the product
of the small matrices is added where the large one's result lies.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from peft.tuners.lora import Linear


def fuse_lora(model: Any) -> None:
    """Give the LoRA layers of ``model`` a fused forward pass, for as long as it applies.

    Where it does not (adapter off or merged, several adapters, dropout, DoRA, a base that trains or
    is quantised, mixed precisions without autocast), a layer does what it did. Not for weights that
    are sharded (ZeRO-3, FSDP).
    """
    for module in model.modules():
        if isinstance(module, Linear) and not hasattr(module.forward, "fused"):
            module.forward = fused(module, module.forward)  # type: ignore[method-assign]


def fused(layer: Any, forward: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Return the fused forward pass of a LoRA layer, and ``forward`` where it does not apply."""

    @wraps(forward)
    def apply(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        name = None if args or kwargs else fusible(layer)
        if name is None:
            return forward(x, *args, **kwargs)
        base = layer.get_base_layer()
        small = layer.lora_A[name].weight, layer.lora_B[name].weight
        tensors = [x, base.weight, base.bias, *small]
        kind = x.device.type
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
            tensors = [None if tensor is None else tensor.to(dtype) for tensor in tensors]
        elif len({tensor.dtype for tensor in tensors if tensor is not None}) > 1:
            return forward(x)
        return FusedLora.apply(*tensors, layer.scaling[name])

    apply.fused = True  # type: ignore[attr-defined]
    return apply


def sole_adapter(layer: Any) -> str | None:
    """Return the name of the one adapter that a LoRA layer applies as plainly as LoRA is written.

    None where adapters are off, merged or several, of a variant such as DoRA, or on a layer that
    is no plain linear one, a quantised one for example.
    """
    if layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
        return None
    (name,) = layer.active_adapters
    plain = type(layer.get_base_layer()) is torch.nn.Linear
    return name if plain and name in layer.lora_A and name not in layer.lora_variant else None


def fusible(layer: Any) -> str | None:
    """Return the name of the layer's adapter if it can be fused as things stand, else None."""
    name = sole_adapter(layer)
    if name is None:
        return None
    base = layer.get_base_layer()
    plain = (
        isinstance(layer.lora_dropout[name], torch.nn.Identity)
        and layer.lora_B[name].bias is None
        and not base.weight.requires_grad
        and (base.bias is None or not base.bias.requires_grad)
    )
    return name if plain else None


class FusedLora(torch.autograd.Function):
    """x Wᵀ + b + s (x Aᵀ) Bᵀ with frozen W (out, in) and b (out,), A (rank, in), B (out, rank)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        """Return (…, out) of x (…, in)."""
        rows = x.reshape(-1, x.size(-1))
        low = rows @ down.T
        result = torch.nn.functional.linear(rows, weight, bias)
        result.addmm_(low, up.T, alpha=scaling)
        ctx.save_for_backward(rows, weight, down, up, low)
        ctx.scaling, ctx.shape = scaling, x.shape
        return result.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of x, A and B."""
        rows, weight, down, up, low = ctx.saved_tensors
        grad = grads[0].reshape(-1, weight.size(0))
        # Written with the short side first: on CPU the other order takes up to six times as long.
        low_grad = (up.T @ grad.T).mul_(ctx.scaling)
        up_grad = (low.T @ grad).mul_(ctx.scaling).T.contiguous()
        rows_grad = None
        if ctx.needs_input_grad[0]:
            rows_grad = (grad @ weight).addmm_(low_grad.T, down).view(ctx.shape)
        return rows_grad, None, None, low_grad @ rows, up_grad, None
