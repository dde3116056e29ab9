"""Attention for a packed row: a prompt once, and the completions of its group behind it.

    [ prompt | completion 1 | completion 2 | … | completion G ]   and so on for the next group

A completion sees its prompt and itself, never its neighbours. Every layer but attention works on
single tokens, so in such a row the prompt's tokens are computed once instead of G times, forward
and backward, and no row is padded. The keys and values of the prompt reach the completions inside
each layer's attention, not through a cache: activation checkpointing would switch a cache off.

The layout of the row travels as the attention mask of the model's full-attention layers,
``attention_mask={"full_attention": layout}``. ``install`` registers attention
functions that read it; given any other mask they do what they did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from typing import Any

import torch
from transformers.integrations.flash_attention import flash_attention_forward
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from legor1.training.fast.attention import Attention, ragged, register_by_mask


@dataclass(frozen=True)
class Group:
    """One prompt and its completions in a packed row.

    Attributes:
        start: where the prompt begins.
        prompt: tokens of the prompt, at least 1.
        completions: tokens of each completion, each at least 1.
    """

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

    @property
    def offsets(self) -> list[int]:
        """Where each completion begins."""
        return [*accumulate(self.completions[:-1], initial=self.completion)]

    def spans(self) -> list[slice]:
        """Return where each completion lies."""
        return [slice(o, o + n) for o, n in zip(self.offsets, self.completions, strict=True)]


class Layout:
    """Where the groups of a packed row lie; it takes the place of the attention mask.

    What is derived from it is derived once, not in each layer.
    """

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

    def dense(self) -> torch.Tensor:
        """Return the plain mask that says the same, (1, 1, length, length), true where seen.

        Needs no attention function of its own, but memory and time by the length squared.
        """
        mask = torch.zeros(self.length, self.length, dtype=torch.bool, device=self.device)
        for group in self.groups:
            prompt = slice(group.start, group.completion)
            mask[prompt, prompt] = True
            for completion in group.spans():
                mask[completion, prompt] = True
                mask[completion, completion] = True
        return mask.tril()[None, None]

    @cached_property
    def beside(self) -> list[torch.Tensor]:
        """The mask, for each group, of all completions side by side on prompt and completions."""
        return [
            Layout([(g.prompt, g.completions)], self.device).dense()[:, :, g.prompt :]
            for g in self.groups
        ]

    @cached_property
    def alone(self) -> list[torch.Tensor]:
        """The mask, for each group, of its longest completion on the prompt and itself."""
        masks = []
        for group in self.groups:
            longest = max(group.completions)
            shape = (1, 1, longest, group.prompt + longest)
            mask = torch.ones(shape, dtype=torch.bool, device=self.device)
            masks.append(mask.tril(group.prompt))
        return masks

    @cached_property
    def prompts(self) -> "Sequences":
        """The prompts, as sequences that see themselves."""
        spans = [range(g.start, g.completion) for g in self.groups]
        return Sequences.of(spans, spans, self.device)

    @cached_property
    def completions(self) -> "Sequences":
        """The completions, as sequences that see their prompt and themselves."""
        queries, keys = [], []
        for group in self.groups:
            for span in group.spans():
                queries.append(range(span.start, span.stop))
                keys.append([*range(group.start, group.completion), *queries[-1]])
        return Sequences.of(queries, keys, self.device)


@dataclass(frozen=True)
class Sequences:
    """Ragged sequences picked out of a row, as FlashAttention's variable-length form takes them.

    FlashAttention aligns a causal mask at the end: the last query sees all of its keys, the one
    before all but one. So a completion behind the keys of its prompt needs no mask.

    Attributes:
        queries, keys: their indices in the row, one sequence after the other.
        form: their lengths, of ``attention.ragged``.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    form: dict[str, Any]

    @classmethod
    def of(
        cls, queries: Sequence[Sequence[int]], keys: Sequence[Sequence[int]], device: torch.device
    ) -> "Sequences":
        """Return the sequences whose queries and keys stand at the given places of the row."""
        asked, seen = (torch.tensor([*chain(*parts)], device=device) for parts in (queries, keys))
        return cls(asked, seen, ragged([*map(len, queries)], [*map(len, keys)], device))


def sdpa_shared(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend in a packed row by torch's scaled dot-product attention.

    Args:
        module: the attention layer.
        query, key, value: (1, heads, length, width); keys and values may have fewer heads.
        layout: of the row.
        kwargs: dropout and scaling, as transformers gives them.

    Returns:
        (1, length, heads, width), and no weights.
    """

    def attend(queries: slice, keys: torch.Tensor, values: torch.Tensor, mask: Any) -> torch.Tensor:
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
        # What the completions would see of each other, and mask out, now costs more than copies
        # of the prompt's keys.
        for span, length in zip(group.spans(), group.completions, strict=True):
            keys, values = (torch.cat([x[:, :, prompt], x[:, :, span]], 2) for x in (key, value))
            outputs.append(attend(span, keys, values, alone[..., :length, : group.prompt + length]))
    return torch.cat(outputs, dim=1), None


def flash_shared(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend in a packed row by FlashAttention: prompts in one call, completions in another.

    Args and returns as for ``sdpa_shared``.
    """
    outputs: list[torch.Tensor] = []
    for part in (layout.prompts, layout.completions):
        keys, values = key[:, :, part.keys], value[:, :, part.keys]
        queries = query[:, :, part.queries]
        outputs += flash_attention_forward(
            module, queries, keys, values, None, dropout, scaling, is_causal=True, **part.form
        )[:1]
    back = torch.argsort(torch.cat([layout.prompts.queries, layout.completions.queries]))
    return torch.cat(outputs, dim=1)[:, back], None


SHARED: dict[str, Attention] = {"sdpa": sdpa_shared, "flash_attention_2": flash_shared}


def install() -> None:
    """Make transformers' attention functions know layouts; other masks they treat as they did."""
    register_by_mask(Layout, SHARED)
