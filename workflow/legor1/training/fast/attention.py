"""Attention chosen by the type of its mask: that of a packed row is an object, its layout."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import accumulate
from typing import TypeAlias

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

Attention: TypeAlias = Callable[..., tuple[Tensor, Tensor | None]]


def register_by_mask(mask: type, forms: Mapping[str, Attention]) -> None:
    """Have transformers' attention functions use ``forms``, by name, where the mask is a ``mask``.

    They keep their names: masks for ordinary forward passes are then made as before, transformers
    finds FlashAttention's kernels by the name, and the choice holds in a checkpoint's recomputation
    too, which runs in the backward pass.
    """
    for name, form in forms.items():
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


def seen_by_last(queries: int, before: int, device: torch.device) -> Tensor:
    """Return the causal mask of a sequence's last tokens, ``before`` of which come before them."""
    shape = (1, 1, queries, before + queries)
    return torch.ones(shape, dtype=torch.bool, device=device).tril(before)


def ragged(queries: Sequence[int], keys: Sequence[int], device: torch.device) -> dict:
    """Return FlashAttention's arguments for sequences with these numbers of queries and keys."""
    form: dict[str, Tensor | int] = {}
    for name, lengths in (("q", queries), ("k", keys)):
        ends = [*accumulate(lengths, initial=0)]
        form[f"cu_seq_lens_{name}"] = torch.tensor(ends, device=device, dtype=torch.int32)
        form[f"max_length_{name}"] = max(lengths)
    return form
