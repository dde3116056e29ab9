"""Attention in a packed row of whole examples, against each example by itself."""

import pytest
import torch
from test_shared_prompt import attention_layer, draw, gradients
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from legor1.training.fast.attention import by_mask
from legor1.training.fast.packed_trainer import Packing, attend

CPU = torch.device("cpu")
GIVEN = {"dropout": 0.0, "scaling": 0.3}
PACKINGS = {
    "one example": ([7], [2]),
    "unequal examples": ([5, 1, 9, 3], [2, 1, 9, 1]),
    "equal examples": ([4, 4], [1, 3]),
}


def alone(packing, query, key, value):
    """The oracle: the plain causal mask, and nothing seen of the neighbours."""
    example = torch.repeat_interleave(torch.tensor(packing.lengths))
    mask = (example[:, None] == example).tril()[None, None]
    return sdpa_attention_forward(attention_layer(), query, key, value, mask, **GIVEN)[0]


def assert_same(packing, scored):
    query, key, value = draw(sum(packing.lengths))
    expected = alone(packing, query, key, value)
    asked = query
    if scored:
        expected, asked = expected[:, packing.scored], query[:, :, packing.scored]
    found, _ = attend(attention_layer(), asked, key, value, packing, **GIVEN)
    torch.testing.assert_close(found, expected)
    pairs = zip(
        gradients(found, (query, key, value)), gradients(expected, (query, key, value)), strict=True
    )
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs)


def test_the_scored_tokens_are_the_last_of_each_example():
    packing = Packing([3, 5, 1], [1, 2, 1], CPU)
    assert packing.scored.tolist() == [2, 6, 7, 8]
    assert [mask[0, 0].sum(1).tolist() for mask in packing.masks] == [[3], [4, 5], [1]]


@pytest.mark.parametrize("scored", [False, True], ids=["all tokens", "scored tokens"])
@pytest.mark.parametrize("lengths, scores", PACKINGS.values(), ids=PACKINGS)
def test_attention_sees_each_example_alone(lengths, scores, scored):
    assert_same(Packing(lengths, scores, CPU), scored)


@pytest.mark.parametrize("mask", [None, torch.ones(1, 1, 6, 6, dtype=torch.bool).tril()])
def test_with_an_ordinary_mask_attention_is_what_it_was(mask):
    inputs = draw(6)
    attention = by_mask(sdpa_attention_forward, {Packing: attend})
    found, _ = attention(attention_layer(), *inputs, mask, **GIVEN)
    expected, _ = sdpa_attention_forward(attention_layer(), *inputs, mask, **GIVEN)
    assert torch.equal(found, expected)
