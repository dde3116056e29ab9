"""Attention for a packed row: a prompt once, and the completions of its group behind it.

    [ prompt | completion 1 | completion 2 | … | completion G ]   and so on for the next group

A completion sees its prompt and itself, never its neighbours. Every layer but attention works on
single tokens, so a prompt's tokens are computed once instead of G times, forward and backward, and
no row is padded. The prompt's keys and values reach the completions inside each layer's attention,
not through a cache, which activation checkpointing would switch off.

The layout of the row is passed as the attention mask of the model's full-attention layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from legor1.training.fast.attention import seen_by_last


@dataclass(frozen=True)
class Group:
    """Where a prompt begins in a packed row, its tokens, and those of each of its completions."""

    start: int
    prompt: int
    completions: tuple[int, ...]

    @property
    def completion(self) -> int:
        """Where the first completion begins."""
        return self.start + self.prompt

    @property
    def end(self) -> int:
        """Where the next group begins."""
        return self.completion + sum(self.completions)

    def spans(self) -> list[slice]:
        """Return where each completion lies."""
        ends = [*accumulate(self.completions, initial=self.completion)]
        return [slice(*pair) for pair in pairwise(ends)]


class Layout:
    """Where the groups of a packed row lie; takes the place of the attention mask."""

    def __init__(self, groups: Sequence[tuple[int, Sequence[int]]], device: torch.device) -> None:
        """Lay out groups, each given by the length of its prompt and of each completion."""
        self.device = device
        self.groups: list[Group] = []
        for prompt, completions in groups:
            start = self.groups[-1].end if self.groups else 0
            self.groups.append(Group(start, prompt, tuple(completions)))

    @property
    def length(self) -> int:
        """Tokens of the row."""
        return self.groups[-1].end

    def dense(self) -> Tensor:
        """Return the equivalent plain mask, (1, 1, length, length), true where seen."""
        mask = torch.zeros(self.length, self.length, dtype=torch.bool, device=self.device)
        for group in self.groups:
            prompt = slice(group.start, group.completion)
            mask[prompt, prompt] = True
            for completion in group.spans():
                mask[completion, prompt] = True
                mask[completion, completion] = True
        return mask.tril()[None, None]

    @cached_property
    def beside(self) -> list[Tensor]:
        """For each group, the mask of all completions on the prompt and all completions."""
        return [
            Layout([(g.prompt, g.completions)], self.device).dense()[:, :, g.prompt :]
            for g in self.groups
        ]

    @cached_property
    def alone(self) -> list[Tensor]:
        """For each group, the mask of its longest completion on the prompt and itself."""
        return [seen_by_last(max(g.completions), g.prompt, self.device) for g in self.groups]


def attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, layout: Layout, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attend in a packed row by torch's scaled dot-product attention.

    Queries are (1, heads, length, width); keys and values may have fewer heads. Returns
    (1, length, heads, width), and no weights.
    """

    def within(queries: slice, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        return sdpa_attention_forward(
            module, query[:, :, queries], keys, values, mask, is_causal=mask is None, **kwargs
        )[0]

    outputs = []
    for group, beside, alone in zip(layout.groups, layout.beside, layout.alone, strict=True):
        prompt, whole = slice(group.start, group.completion), slice(group.start, group.end)
        outputs.append(within(prompt, key[:, :, prompt], value[:, :, prompt], None))
        if group.end - group.completion <= group.prompt:
            completions = slice(group.completion, group.end)
            outputs.append(within(completions, key[:, :, whole], value[:, :, whole], beside))
            continue
        # Masking the completions from each other now costs more than copying the prompt's keys.
        for span, length in zip(group.spans(), group.completions, strict=True):
            keys, values = (torch.cat([x[:, :, prompt], x[:, :, span]], 2) for x in (key, value))
            outputs.append(within(span, keys, values, alone[..., :length, : group.prompt + length]))
    return torch.cat(outputs, dim=1), None
