"""Reading the prompts of a batch: those alike in length together, so that little is padding.

All answers of a batch are then written together, however unlike their prompts are in length.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import DynamicCache

from legor1.models.registry import family_of_model

ALIKE = 7 / 8  # of the longest prompt that is read in the same pass


def prefill(
    model: Any,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    position_ids: torch.Tensor,
    features: Sequence[Sequence[torch.Tensor]],
) -> tuple[torch.Tensor, DynamicCache]:
    """Return the scores of each row's next token, (rows, vocabulary), and the cache of all rows.

    Args:
        model: for causal generation.
        input_ids, attention_mask: (rows, prompt), padded on the left.
        position_ids: (3, rows, prompt).
        features: of each row's images, (tokens, hidden) each.
    """
    feature_inputs = family_of_model(model).feature_inputs
    lengths = attention_mask.sum(1).tolist()
    logits, caches = [], []
    for rows in alike(lengths):
        width = max(lengths[rows])
        cache = DynamicCache(config=model.config)
        read = model(
            input_ids=input_ids[rows, -width:],
            attention_mask=attention_mask[rows, -width:],
            position_ids=position_ids[:, rows, -width:],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            **feature_inputs([image for row in features[rows] for image in row]),
        )
        logits.append(read.logits[:, -1])
        caches.append(cache)
    return torch.cat(logits), joined(caches)


def alike(lengths: Sequence[int]) -> Iterator[slice]:
    """Yield runs of neighbours that are alike in length."""
    start = 0
    for row in range(1, len(lengths) + 1):
        run = lengths[start : row + 1]
        if row == len(lengths) or min(run) < ALIKE * max(run):
            yield slice(start, row)
            start = row


def joined(caches: list[Any]) -> Any:
    """Return one cache of the rows of all, padded on the left; the parts are used up."""
    whole, longest = caches[0], max(cache.get_seq_length() for cache in caches)

    def together(tensors: list[torch.Tensor]) -> torch.Tensor:
        padded = [pad(one, (0, 0, longest - one.size(-2), 0)) for one in tensors]
        return torch.cat(padded) if len(padded) > 1 else padded[0]

    for number, layer in enumerate(whole.layers):
        parts = [cache.layers[number] for cache in caches]
        keys = together([part.keys for part in parts])
        values = together([part.values for part in parts])
        for part in parts:
            part.keys = part.values = None
        layer.keys, layer.values = keys, values
    return whole
