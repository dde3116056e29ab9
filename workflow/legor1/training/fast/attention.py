"""Attention chosen by the type of its mask: that of a packed row is an object, its layout."""

from collections.abc import Callable
from functools import wraps
from typing import TypeAlias

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from legor1.models.family import Model

Attention: TypeAlias = Callable[..., tuple[Tensor, Tensor | None]]
# Those that give way to a packed row's. Its own is SDPA's, which takes FlashAttention's kernels
# itself where there is no mask.
KNOWN = ("sdpa", "flash_attention_2")


def register_by_mask(mask: type, form: Attention) -> None:
    """Have transformers' ``KNOWN`` attention functions use ``form`` where the mask is a ``mask``.

    They keep their names: masks for ordinary forward passes are then made as before, transformers
    finds FlashAttention's kernels by the name, and the choice holds in a checkpoint's recomputation
    too, which runs in the backward pass.
    """
    for name in KNOWN:
        known = ALL_ATTENTION_FUNCTIONS[name]
        if not hasattr(known, "forms"):
            known = by_mask(known, {})
            AttentionInterface.register(name, known)
        known.forms[mask] = form  # type: ignore[attr-defined]


def by_mask(attention: Attention, forms: dict[type, Attention]) -> Attention:
    """Return ``attention``, but the form for the mask's type where there is one."""

    @wraps(attention)
    def attend(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: object,
        **kwargs: object,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        chosen = forms.get(type(attention_mask), attention)
        return chosen(module, query, key, value, attention_mask, **kwargs)

    attend.forms = forms  # type: ignore[attr-defined]
    return attend


def obstacle(model: Model) -> str | None:
    """Return why the attention of ``model`` takes no packed rows, or None if it does."""
    text = model.config.get_text_config()
    if text._attn_implementation in KNOWN and {*text.layer_types} == {"full_attention"}:
        return None
    return (
        f"packed rows take the attention {' or '.join(KNOWN)} in all layers, not "
        f"{text._attn_implementation} with {', '.join(sorted({*text.layer_types}))}"
    )


def seen_by_last(queries: int, before: int, device: torch.device) -> Tensor:
    """Return the causal mask of a sequence's last tokens, ``before`` of which come before them."""
    shape = (1, 1, queries, before + queries)
    return torch.ones(shape, dtype=torch.bool, device=device).tril(before)
