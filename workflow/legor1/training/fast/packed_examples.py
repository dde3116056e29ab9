"""Attention and last layer for a packed row of whole examples: no padding, no token for nothing.

    [ prompt 1 | answer 1 | prompt 2 | answer 2 | … ]

An example sees itself, never its neighbours. Its last token predicts nothing and is left out. Only
an answer's tokens carry loss, and behind the last layer's keys and values nothing reads a prompt's
any more: there the queries, the feed-forward part, and after it the norm and the language head, are
computed for those tokens alone that predict an answer's. All of it is exact.

The packing of the row travels as the attention mask of the model's full-attention layers,
``attention_mask={"full_attention": packing}``. Given any other mask, attention functions and layer
do what they did.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, wraps
from itertools import accumulate
from typing import Any

import torch
from transformers.integrations.flash_attention import flash_attention_forward
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from legor1.models.family import ModelFamily
from legor1.training.fast.attention import Attention, ragged, register_by_mask


class Packing:
    """Where the examples of a packed row lie; it takes the place of the attention mask.

    What is derived from it is derived once, not in each layer.

    Args:
        lengths: tokens of each example in the row.
        scores: at its end, so many tokens predict one of its answer's, at least 1 of each example.
        device: of the row.
    """

    def __init__(self, lengths: Sequence[int], scores: Sequence[int], device: torch.device) -> None:
        self.lengths, self.scores, self.device = list(lengths), list(scores), device

    @cached_property
    def scored(self) -> torch.Tensor:
        """Where the tokens stand that predict an answer's."""
        ends = accumulate(self.lengths)
        spans = [range(end - n, end) for end, n in zip(ends, self.scores, strict=True)]
        return torch.tensor([place for span in spans for place in span], device=self.device)

    @cached_property
    def masks(self) -> list[torch.Tensor]:
        """What the scored tokens of each example see of it, (1, 1, scores, length)."""
        masks = []
        for length, scores in zip(self.lengths, self.scores, strict=True):
            seen = torch.ones(1, 1, scores, length, dtype=torch.bool, device=self.device)
            masks.append(seen.tril(length - scores))
        return masks

    @cached_property
    def flash_all(self) -> dict[str, Any]:
        """FlashAttention's variable-length form with all tokens as queries."""
        return ragged(self.lengths, self.lengths, self.device)

    @cached_property
    def flash_scored(self) -> dict[str, Any]:
        """The same with the scored tokens as queries.

        It aligns a causal mask at the end, the last query seeing all keys: just as it should.
        """
        return ragged(self.scores, self.lengths, self.device)


def sdpa_packed(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    packing: Packing,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attend in a packed row by torch's scaled dot-product attention.

    Args:
        module: the attention layer.
        query: (1, heads, length or scored tokens, width).
        key, value: (1, heads or fewer, length, width).
        packing: of the row.
        kwargs: dropout and scaling, as transformers gives them.

    Returns:
        (1, length or scored tokens, heads, width), and no weights.
    """
    scored = query.size(2) != key.size(2)
    queries = query.split(packing.scores if scored else packing.lengths, 2)
    keys, values = key.split(packing.lengths, 2), value.split(packing.lengths, 2)
    masks: Sequence[torch.Tensor | None] = packing.masks if scored else [None] * len(queries)
    outputs = [
        sdpa_attention_forward(module, q, k, v, mask, is_causal=mask is None, **kwargs)[0]
        for q, k, v, mask in zip(queries, keys, values, masks, strict=True)
    ]
    return torch.cat(outputs, dim=1), None


def flash_packed(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    packing: Packing,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attend in a packed row by FlashAttention, in one call; args and returns as above."""
    form = packing.flash_all if query.size(2) == key.size(2) else packing.flash_scored
    return flash_attention_forward(
        module, query, key, value, None, dropout, scaling, is_causal=True, **form
    )


PACKED: dict[str, Attention] = {"sdpa": sdpa_packed, "flash_attention_2": flash_packed}


def install(decoder: Any, family: ModelFamily) -> None:
    """Have the attention functions, and the decoder's last layer, read packings."""
    register_by_mask(Packing, PACKED)
    layer = decoder.layers[-1]
    if not hasattr(layer.forward, "packed"):
        layer.forward = scoring_alone(layer, layer.forward, family)


def scoring_alone(
    layer: Any, forward: Callable[..., Any], family: ModelFamily
) -> Callable[..., Any]:
    """Return a last layer's forward pass that gives the scored tokens alone of a packed row.

    Args:
        layer: a decoder layer of a family that packs examples, with LoRA or without.
        forward: its own, used where the mask is no ``Packing``.
        family: the model's.
    """

    @wraps(forward)
    def score(hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        packing = kwargs.get("attention_mask")
        if not isinstance(packing, Packing):
            return forward(hidden_states, *args, **kwargs)
        normed = layer.input_layernorm(hidden_states)
        cos, sin = kwargs["position_embeddings"]
        attended = attend_scored(layer.self_attn, normed, packing, cos, sin, family)
        scored = hidden_states[:, packing.scored] + attended
        return scored + layer.mlp(layer.post_attention_layernorm(scored))

    score.packed = True  # type: ignore[attr-defined]
    return score


def attend_scored(
    attention: Any,
    hidden: torch.Tensor,
    packing: Packing,
    cos: torch.Tensor,
    sin: torch.Tensor,
    family: ModelFamily,
) -> torch.Tensor:
    """Return an attention layer's output at the scored tokens, (1, scored tokens, width).

    Args:
        attention: the layer.
        hidden: its input, (1, length, width).
        packing: of the row.
        cos, sin: the rotations of the positions, (1, length, width of a head).
        family: the model's.
    """

    def heads(projected: torch.Tensor) -> torch.Tensor:
        return projected.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)

    at, cos, sin = packing.scored, cos[:, None], sin[:, None]
    query = heads(attention.q_proj(hidden[:, at]))
    query = family.rotate(query, cos[:, :, at], sin[:, :, at])
    key = family.rotate(heads(attention.k_proj(hidden)), cos, sin)
    output, _ = PACKED[attention.config._attn_implementation](
        attention,
        query,
        key,
        heads(attention.v_proj(hidden)),
        packing,
        dropout=attention.attention_dropout if attention.training else 0.0,
        scaling=attention.scaling,
    )
    return attention.o_proj(output.flatten(2))
