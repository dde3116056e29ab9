"""Sampled answers that depend on the seed and the instance alone, not on the batch around them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from legor1.seeding import generator


def processors(recipe: Mapping[str, Any], instances: Sequence[str]) -> LogitsProcessorList:
    """Return what makes greedy decoding draw as the recipe says; nothing where it says nothing.

    Args:
        recipe: with ``sampling`` (temperature, top_p, top_k) and ``seed`` where answers are drawn.
        instances: the id of each row of the batch.
    """
    sampling = recipe.get("sampling")
    if not sampling:
        return LogitsProcessorList()
    warpers = LogitsProcessorList([TemperatureLogitsWarper(float(sampling["temperature"]))])
    if sampling.get("top_k"):
        warpers.append(TopKLogitsWarper(sampling["top_k"]))
    warpers.append(TopPLogitsWarper(float(sampling.get("top_p", 1.0))))
    draws = [generator(recipe["seed"], "sampling", name) for name in instances]
    return LogitsProcessorList([SeededDraw(warpers, draws)])


class SeededDraw(LogitsProcessor):
    """Leaves each row one token: drawn by the row's own generator, one number a token."""

    def __init__(self, warpers: LogitsProcessorList, draws: Sequence[np.random.Generator]) -> None:
        self.warpers, self.draws = warpers, draws

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return scores, a tensor (rows, vocabulary), that are -inf but for the token drawn."""
        # Summed in double precision, or the last tokens of a large vocabulary would get nothing.
        sums = self.warpers(input_ids, scores).double().softmax(-1).cumsum(-1)
        drawn = torch.tensor([draw.random() for draw in self.draws], device=scores.device)
        chosen = (sums <= drawn.double()[:, None] * sums[:, -1:]).sum(-1, keepdim=True)
        return torch.full_like(scores, -torch.inf).scatter(1, chosen, 0.0)
