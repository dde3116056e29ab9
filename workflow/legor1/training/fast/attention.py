"""Attention by the type of its mask: packed rows have masks that are no tensors.

A packed row says by its mask how its parts lie. Which function attends is then decided by the
mask's type, in each call.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import accumulate
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

Attention = Callable[..., tuple[torch.Tensor, torch.Tensor | None]]


def register_by_mask(mask: type, forms: Mapping[str, Attention]) -> None:
    """Have transformers' attention functions use ``forms``, by name, where the mask is a ``mask``.

    They keep their names: masks for ordinary forward passes are then made as before, transformers
    finds FlashAttention's kernels by the name, and the choice holds in a checkpoint's recomputation
    too, which runs in the backward pass.
    """
    for name, form in forms.items():
        known: Any = ALL_ATTENTION_FUNCTIONS[name]
        if not hasattr(known, "forms"):
            known = by_mask(known, {})
            AttentionInterface.register(name, known)
        known.forms[mask] = form


def by_mask(attention: Attention, forms: dict[type, Attention]) -> Attention:
    """Return ``attention``, but the form for the mask's type where there is one."""

    @wraps(attention)
    def attend(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: Any,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        chosen = forms.get(type(attention_mask), attention)
        return chosen(module, query, key, value, attention_mask, **kwargs)

    attend.forms = forms  # type: ignore[attr-defined]
    return attend


def ragged(queries: Sequence[int], keys: Sequence[int], device: torch.device) -> dict[str, Any]:
    """Return FlashAttention's arguments for sequences of so many queries and keys each."""
    form: dict[str, Any] = {}
    for name, lengths in (("q", queries), ("k", keys)):
        ends = [*accumulate(lengths, initial=0)]
        form[f"cu_seq_lens_{name}"] = torch.tensor(ends, device=device, dtype=torch.int32)
        form[f"max_length_{name}"] = max(lengths)
    return form
