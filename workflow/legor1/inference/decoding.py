"""Decoding of a batch whose rows leave as they end, which transformers' ``generate`` lacks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.generation import logits_process as warping

from legor1.core.seeding import generator
from legor1.models.family import Model, Recipe
from legor1.models.registry import family_of_model

LEAVE = 8  # an eighth of the batch leaves together: removing rows copies the cache
# Scores (rows, vocabulary), and which prompts of the batch the rows are → the next token of each.
Choice = Callable[[Tensor, Sequence[int]], Tensor]


def decode(
    model: Model,
    input_ids: Tensor,
    *,
    logits_processor: Callable[[Tensor, Tensor], Tensor],
    generation_config: Any,
    penalty: float,
    choice: Choice,
    features: Sequence[Sequence[Tensor]],
    **given: Any,
) -> list[list[int]]:
    """Return each row's new tokens, an end token last if there is one; for ``custom_generate``.

    Args:
        input_ids: (rows, prompt), padded on the left.
        logits_processor: changes the next token's scores, after the penalty.
        generation_config: gives the end tokens and the maximum length.
        features: of each row's images, (tokens, hidden) each.
        given: attention_mask (rows, prompt), None without padding; position_ids (3, rows, prompt);
            ``generate`` prepares them only if they are no named parameters.
    """
    attention_mask, position_ids = given["attention_mask"], given["position_ids"]
    answers: list[list[int]] = [[] for _ in input_ids]
    rows = torch.arange(len(input_ids), device=input_ids.device)  # those still in the batch
    ended = torch.zeros_like(rows, dtype=torch.bool)
    if attention_mask is None:
        attention_mask = torch.ones_like(input_ids)
    padding = (attention_mask == 0).sum(1)  # of each row
    cache = DynamicCache(config=model.config)

    def read(tokens: Tensor, **images: Any) -> Tensor:
        """Return each row's scores (rows, vocabulary) behind these tokens, which join the cache."""
        cached = {"past_key_values": cache, "use_cache": True, "logits_to_keep": 1}
        seen = {"attention_mask": attention_mask, "position_ids": position_ids}
        return model(input_ids=tokens, **seen, **cached, **images).logits[:, -1]

    shown = [image for row in features for image in row]
    logits = read(input_ids, **family_of_model(model).feature_inputs(shown))
    # Behind an image the three axes end at different positions; text continues from the largest.
    position_ids = position_ids.amax((0, 2))[None, :, None].expand(3, -1, -1)
    for left in reversed(range(generation_config.max_length - input_ids.size(1))):
        scores = penalised(logits.float(), penalty, input_ids, padding)
        tokens = choice(logits_processor(input_ids, scores), rows.tolist())
        for row, token, over in zip(rows.tolist(), tokens.tolist(), ended.tolist(), strict=True):
            if not over:
                answers[row].append(token)
        ended |= torch.isin(tokens, generation_config._eos_token_tensor)
        if ended.all() or not left:
            break
        input_ids = torch.cat([input_ids, tokens[:, None]], dim=1)
        position_ids = position_ids + 1
        attention_mask = torch.cat([attention_mask, torch.ones_like(tokens[:, None])], dim=1)
        if ended.sum() * LEAVE >= len(rows):
            kept = (~ended).nonzero()[:, 0]
            cache.batch_select_indices(kept)
            rows, ended, input_ids = rows[kept], ended[kept], input_ids[kept]
            position_ids, padding = position_ids[:, kept], padding[kept]
            attention_mask = attention_mask[kept]
        logits = read(input_ids[:, -1:])
    return answers


def penalised(scores: Tensor, penalty: float, input_ids: Tensor, padding: Tensor) -> Tensor:
    """Return scores (rows, vocabulary), lower for tokens that a row has, its padding left out."""
    if penalty == 1:
        return scores
    return warping.RepetitionPenaltyLogitsProcessor(penalty, padding)(input_ids, scores)


def choice(recipe: Recipe, instances: Sequence[str]) -> Choice:
    """Return how next tokens are chosen: the likeliest, or drawn by the recipe, row by row."""
    sampling: Mapping[str, float] | None = recipe.get("sampling")
    if not sampling:
        return greedy
    temperature = warping.TemperatureLogitsWarper(float(sampling["temperature"]))
    warpers = warping.LogitsProcessorList([temperature])
    if sampling.get("top_k"):
        warpers.append(warping.TopKLogitsWarper(int(sampling["top_k"])))
    warpers.append(warping.TopPLogitsWarper(float(sampling.get("top_p", 1.0))))
    # Draws depend on the seed and the instance alone, not on the batch around it.
    draws = [generator(recipe["seed"], "sampling", name) for name in instances]

    def draw(scores: Tensor, rows: Sequence[int]) -> Tensor:
        # Summed in double precision, or the last tokens of a large vocabulary would get nothing.
        sums = warpers(torch.LongTensor(), scores).double().softmax(-1).cumsum(-1)
        numbers = torch.tensor([draws[row].random() for row in rows], device=scores.device)
        return (sums <= numbers.double()[:, None] * sums[:, -1:]).sum(-1)

    return draw


def greedy(scores: Tensor, rows: Sequence[int]) -> Tensor:
    """Return each row's likeliest token."""
    return scores.argmax(-1)
