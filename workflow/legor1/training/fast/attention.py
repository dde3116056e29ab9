"""Attention for a packed row: a prompt once, and the completions of its group behind it.

    [ prompt | completion 1 | completion 2 | … | completion G ]   and so on for the next group

A completion sees its prompt and itself, never its neighbours. Every layer but attention works on
single tokens, so a prompt's tokens are computed once instead of G times, forward and backward, and
no row is padded. The prompt's keys and values reach the completions inside each layer's attention,
not through a cache, which activation checkpointing would switch off. An example with its answer is
a group of one.

The layout of the row is passed as the attention mask.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from legor1.models.family import Model

Attention: TypeAlias = Callable[..., tuple[Tensor, Tensor | None]]
# Those that give way to a packed row's. Its own is SDPA's, which takes FlashAttention's kernels
# itself where there is no mask.
KNOWN = ("sdpa", "flash_attention_2")
Lengths: TypeAlias = Sequence[tuple[int, Sequence[int]]]
FORMS: dict[type, Attention] = {}  # by the type of the mask


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


class Layout(Tensor):
    """Where the groups of a packed row lie; takes the place of the attention mask.

    An empty tensor of four dimensions, since transformers hands such a mask on to all layers as it
    is, whatever the family.
    """

    groups: list[Group]

    @staticmethod
    def __new__(cls, groups: Lengths, device: torch.device) -> "Layout":
        """Lay out groups, each given by the length of its prompt and of each completion."""
        self = torch.empty(1, 1, 0, 0, device=device).as_subclass(cls)
        self.groups = []
        for prompt, completions in groups:
            start = self.groups[-1].end if self.groups else 0
            self.groups.append(Group(start, prompt, tuple(completions)))
        return self

    @property
    def length(self) -> int:
        """Tokens of the row."""
        return self.groups[-1].end

    @cached_property
    def completed(self) -> Tensor:
        """Where the tokens of all completions stand."""
        spans = [torch.arange(g.completion, g.end, device=self.device) for g in self.groups]
        return torch.cat(spans)

    @cached_property
    def beside(self) -> list[Tensor]:
        """For each group, the mask of all completions on the prompt and all completions."""
        masks = []
        for group in self.groups:
            mask = self._last(group.end - group.completion, group.prompt)
            for span in group.spans():
                own = slice(span.start - group.completion, span.stop - group.completion)
                mask[..., own, group.prompt : group.prompt + own.start] = False
            masks.append(mask)
        return masks

    @cached_property
    def alone(self) -> list[Tensor]:
        """For each group, the mask of its longest completion on the prompt and itself."""
        return [self._last(max(g.completions), g.prompt) for g in self.groups]

    def _last(self, queries: int, before: int) -> Tensor:
        """Return the causal mask of a sequence's last tokens, with so many others before them."""
        shape = (1, 1, queries, before + queries)
        return torch.ones(shape, dtype=torch.bool, device=self.device).tril(before)


def attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, layout: Layout, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attend in a packed row by torch's scaled dot-product attention.

    Queries are (1, heads, length, width), or of the tokens in ``layout.completed`` alone; keys and
    values (1, heads or fewer, length, width). Returns (1, queries, heads, width), and no weights.
    """

    def within(queries: slice, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        asked = query[:, :, queries.start - left_out : queries.stop - left_out]
        return sdpa_attention_forward(
            module, asked, keys, values, mask, is_causal=mask is None, **kwargs
        )[0]

    outputs: list[Tensor] = []
    left_out = 0  # tokens of prompts that ask nothing
    for group, beside, alone in zip(layout.groups, layout.beside, layout.alone, strict=True):
        prompt, whole = slice(group.start, group.completion), slice(group.start, group.end)
        if query.size(2) == layout.length:
            outputs.append(within(prompt, key[:, :, prompt], value[:, :, prompt], None))
        else:
            left_out += group.prompt
        if group.end - group.completion <= group.prompt:
            completions = slice(group.completion, group.end)
            outputs.append(within(completions, key[:, :, whole], value[:, :, whole], beside))
            continue
        # Masking the completions from each other now costs more than copying the prompt's keys.
        for span, length in zip(group.spans(), group.completions, strict=True):
            keys, values = (torch.cat([x[:, :, prompt], x[:, :, span]], 2) for x in (key, value))
            outputs.append(within(span, keys, values, alone[..., :length, : group.prompt + length]))
    return torch.cat(outputs, dim=1), None


def register_by_mask(mask: type, form: Attention) -> None:
    """Have transformers' ``KNOWN`` attention functions use ``form`` where the mask is a ``mask``.

    They keep their names: masks for ordinary forward passes are then made as before, transformers
    finds FlashAttention's kernels by the name, and the choice holds in a checkpoint's recomputation
    too, which runs in the backward pass.
    """
    FORMS[mask] = form
    for name in KNOWN:
        known = ALL_ATTENTION_FUNCTIONS[name]
        if not hasattr(known, "by_mask"):
            AttentionInterface.register(name, by_mask(known))


def by_mask(attention: Attention) -> Attention:
    """Return ``attention`` that gives way to the one registered for the type of its mask."""

    @wraps(attention)
    def chosen(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: object,
        **kwargs: object,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        form = FORMS.get(type(attention_mask), attention)
        return form(module, query, key, value, attention_mask, **kwargs)

    chosen.by_mask = True  # type: ignore[attr-defined]
    return chosen


def obstacle(model: Model) -> str | None:
    """Return why the attention of ``model`` takes no packed rows, or None if it does."""
    text = model.config.get_text_config()
    kinds = {*getattr(text, "layer_types", ["full_attention"])}
    if text._attn_implementation in KNOWN and kinds == {"full_attention"}:
        return None
    return (
        f"packed rows take the attention {' or '.join(KNOWN)} in all layers, not "
        f"{text._attn_implementation} with {', '.join(sorted(kinds))}"
    )
