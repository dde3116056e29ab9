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
from itertools import accumulate, chain, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.flash_attention import flash_attention_forward
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from legor1.training.fast.attention import Attention, ragged, seen_by_last


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

    @cached_property
    def prompts(self) -> "Sequences":
        """The prompts, as sequences that see themselves."""
        spans = [range(g.start, g.completion) for g in self.groups]
        return Sequences(spans, spans, self.device)

    @cached_property
    def completions(self) -> "Sequences":
        """The completions, as sequences that see their prompt and themselves."""
        queries, keys = [], []
        for group in self.groups:
            for span in group.spans():
                queries.append(range(span.start, span.stop))
                keys.append([*range(group.start, group.completion), *queries[-1]])
        return Sequences(queries, keys, self.device)


class Sequences:
    """Sequences of a row for FlashAttention: places of their queries and keys, and their lengths.

    FlashAttention aligns a causal mask at the end: the last query sees all of its keys, the one
    before all but one. So a completion behind the keys of its prompt needs no mask.
    """

    def __init__(
        self, queries: Sequence[Sequence[int]], keys: Sequence[Sequence[int]], device: torch.device
    ) -> None:
        self.queries = torch.tensor([*chain(*queries)], device=device)
        self.keys = torch.tensor([*chain(*keys)], device=device)
        self.form = ragged([*map(len, queries)], [*map(len, keys)], device)


def sdpa_shared(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, layout: Layout, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attend in a packed row by torch's scaled dot-product attention.

    Queries are (1, heads, length, width); keys and values may have fewer heads. Returns
    (1, length, heads, width), and no weights.
    """

    def attend(queries: slice, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        return sdpa_attention_forward(
            module, query[:, :, queries], keys, values, mask, is_causal=mask is None, **kwargs
        )[0]

    outputs = []
    for group, beside, alone in zip(layout.groups, layout.beside, layout.alone, strict=True):
        prompt, whole = slice(group.start, group.completion), slice(group.start, group.end)
        outputs.append(attend(prompt, key[:, :, prompt], value[:, :, prompt], None))
        if group.end - group.completion <= group.prompt:
            completions = slice(group.completion, group.end)
            outputs.append(attend(completions, key[:, :, whole], value[:, :, whole], beside))
            continue
        # Masking the completions from each other now costs more than copying the prompt's keys.
        for span, length in zip(group.spans(), group.completions, strict=True):
            keys, values = (torch.cat([x[:, :, prompt], x[:, :, span]], 2) for x in (key, value))
            outputs.append(attend(span, keys, values, alone[..., :length, : group.prompt + length]))
    return torch.cat(outputs, dim=1), None


def flash_shared(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, layout: Layout,
    dropout: float = 0.0, scaling: float | None = None, **_: object,
) -> tuple[Tensor, None]:  # fmt: skip
    """Attend as ``sdpa_shared`` by FlashAttention: prompts in one call, completions in another."""
    outputs: list[Tensor] = []
    for part in (layout.prompts, layout.completions):
        tensors = query[:, :, part.queries], key[:, :, part.keys], value[:, :, part.keys]
        outputs += flash_attention_forward(
            module, *tensors, None, dropout, scaling, is_causal=True, **part.form
        )[:1]
    back = torch.argsort(torch.cat([layout.prompts.queries, layout.completions.queries]))
    return torch.cat(outputs, dim=1)[:, back], None


SHARED: dict[str, Attention] = {"sdpa": sdpa_shared, "flash_attention_2": flash_shared}
