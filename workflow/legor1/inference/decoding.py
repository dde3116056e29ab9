"""Decoding of a batch from which answers leave as they end.

``generate`` of transformers goes on with a whole batch until its longest answer ends; here the
rows whose answers have ended are taken out of the batch on the way.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import RepetitionPenaltyLogitsProcessor

from legor1.inference.prefill import prefill
from legor1.inference.sampling import Choice

LEAVE = 8  # an eighth of the batch leaves together: taking rows out copies the cache


def decode(
    model: Any,
    input_ids: torch.Tensor,
    *,
    logits_processor: Any,
    generation_config: Any,
    penalty: float,
    choice: Choice,
    features: Sequence[Sequence[torch.Tensor]],
    **given: Any,
) -> list[list[int]]:
    """Return each row's new tokens, an end token last if there is one; for ``custom_generate``.

    Args:
        model: for causal generation.
        input_ids: (rows, prompt), padded on the left.
        logits_processor: changes the next token's scores, after the penalty.
        generation_config: its end tokens and length count.
        penalty: of the tokens that a row has read or written already; 1 is none.
        choice: of each row's next token.
        features: of each row's images.
        given: attention_mask (rows, prompt), None without padding; position_ids (3, rows, prompt).
    """
    attention_mask, position_ids = given["attention_mask"], given["position_ids"]
    ends = generation_config._eos_token_tensor
    answers: list[list[int]] = [[] for _ in input_ids]
    rows = torch.arange(len(input_ids), device=input_ids.device)  # those still in the batch
    ended = torch.zeros_like(rows, dtype=torch.bool)
    seen = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    padding = (seen == 0).sum(1)  # of each row: tokens that it has not read
    logits, cache = prefill(model, input_ids, seen, position_ids, features)
    # The axes of an image have ended apart.
    position_ids = position_ids.amax((0, 2))[None, :, None].expand(3, -1, -1)
    for left in reversed(range(generation_config.max_length - input_ids.size(1))):
        scores = penalised(logits.float(), penalty, input_ids, padding)
        tokens = choice(logits_processor(input_ids, scores), rows.tolist())
        for row, token, over in zip(rows.tolist(), tokens.tolist(), ended.tolist(), strict=True):
            if not over:
                answers[row].append(token)
        ended |= torch.isin(tokens, ends)
        if ended.all() or not left:
            break
        input_ids = torch.cat([input_ids, tokens[:, None]], dim=1)
        position_ids = position_ids + 1
        if attention_mask is not None:
            attention_mask = torch.cat([attention_mask, torch.ones_like(tokens[:, None])], dim=1)
        if ended.sum() * LEAVE >= len(rows):
            kept = (~ended).nonzero()[:, 0]
            cache.batch_select_indices(kept)
            rows, ended, input_ids = rows[kept], ended[kept], input_ids[kept]
            position_ids, padding = position_ids[:, kept], padding[kept]
            attention_mask = None if attention_mask is None else attention_mask[kept]
        logits = model(
            input_ids=input_ids[:, -1:],
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]
    return answers


def penalised(
    scores: torch.Tensor, penalty: float, input_ids: torch.Tensor, padding: torch.Tensor
) -> torch.Tensor:
    """Return the scores (rows, vocabulary), lower for tokens that a row already has.

    The tokens on the left that only pad a row do not count, although they may be end tokens.
    """
    if penalty == 1:
        return scores
    return RepetitionPenaltyLogitsProcessor(penalty, padding)(input_ids, scores)
