"""Attention chosen by the type of its mask: that of a packed row is an object, its layout."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import accumulate
from typing import TypeAlias, TypedDict

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

Attention: TypeAlias = Callable[..., tuple[Tensor, Tensor | None]]


class Ragged(TypedDict):
    """FlashAttention's arguments for sequences of different lengths."""

    cu_seq_lens_q: Tensor
    cu_seq_lens_k: Tensor
    max_length_q: int
    max_length_k: int


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


def ragged(queries: Sequence[int], keys: Sequence[int], device: torch.device) -> Ragged:
    """Return the arguments for sequences with these numbers of queries and keys."""

    def ends(lengths: Sequence[int]) -> Tensor:
        return torch.tensor([*accumulate(lengths, initial=0)], device=device, dtype=torch.int32)

    return Ragged(
        cu_seq_lens_q=ends(queries),
        cu_seq_lens_k=ends(keys),
        max_length_q=max(queries),
        max_length_k=max(keys),
    )
