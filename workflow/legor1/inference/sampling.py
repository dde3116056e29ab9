"""Sampled answers that depend on the seed and the instance alone, not on the batch around them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from legor1.core.seeding import generator

# Scores (rows, vocabulary), and which prompts of the batch the rows are → the next token of each.
Choice = Callable[[torch.Tensor, Sequence[int]], torch.Tensor]


def choice(recipe: Mapping[str, Any], instances: Sequence[str]) -> Choice:
    """Return how the next tokens are chosen: the likeliest, or drawn as the recipe says.

    Args:
        recipe: with ``sampling`` (temperature, top_p, top_k) and ``seed`` where answers are drawn.
        instances: the id of each prompt of the batch.
    """
    sampling = recipe.get("sampling")
    if not sampling:
        return greedy
    warpers = LogitsProcessorList([TemperatureLogitsWarper(float(sampling["temperature"]))])
    if sampling.get("top_k"):
        warpers.append(TopKLogitsWarper(sampling["top_k"]))
    warpers.append(TopPLogitsWarper(float(sampling.get("top_p", 1.0))))
    draws = [generator(recipe["seed"], "sampling", name) for name in instances]

    def draw(scores: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        # Summed in double precision, or the last tokens of a large vocabulary would get nothing.
        sums = warpers(torch.LongTensor(), scores).double().softmax(-1).cumsum(-1)
        numbers = torch.tensor([draws[row].random() for row in rows], device=scores.device)
        return (sums <= numbers.double()[:, None] * sums[:, -1:]).sum(-1)

    return draw


def greedy(scores: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
    """Return each row's likeliest token."""
    return scores.argmax(-1)
