"""Attention in a packed row, against plain attention under a mask of every pair of tokens."""

from types import SimpleNamespace

import pytest
import torch
from plain_mask import plain_mask
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from legor1.training.fast.attention import KNOWN, Layout, attend, by_mask, register_by_mask

CPU = torch.device("cpu")
GIVEN = {"dropout": 0.0, "scaling": 0.3}
LAYOUTS = {
    "one completion": [(3, [2])],
    "shorter than the prompt": [(9, [2, 1, 4])],
    "longer than the prompt": [(2, [5, 1, 3])],
    "as long as the prompt": [(4, [2, 2])],
    "several groups": [(5, [1, 3]), (1, [4, 4, 2]), (7, [6])],
}


def attention_layer():
    """What the attention functions look at: four query heads on two of keys and values."""
    layer = torch.nn.Module()
    layer.projection = torch.nn.Linear(1, 1)
    layer.num_key_value_groups = 2
    layer.is_causal = True
    layer.config = SimpleNamespace(_attn_implementation="sdpa")
    return layer.eval()


def draw(length):
    drawn = torch.Generator().manual_seed(length)
    query, key, value = (
        torch.randn(1, heads, length, 8, generator=drawn, requires_grad=True) for heads in (4, 2, 2)
    )
    return query, key, value


def gradients(output, inputs):
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    return torch.autograd.grad((output * weights).sum(), inputs)


def test_the_plain_mask_by_hand():
    """Prompt 0 1, completions 2 3 and 4, then a prompt 5 with the completion 6."""
    mask = plain_mask([(2, [2, 1]), (1, [1])])[0, 0]
    seen = [row.nonzero().flatten().tolist() for row in mask]
    assert seen == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 4], [5], [5, 6]]


@pytest.mark.parametrize("alone", [False, True], ids=["all tokens", "completions"])
@pytest.mark.parametrize("groups", LAYOUTS.values(), ids=LAYOUTS)
def test_attention_in_a_packed_row_is_attention_under_the_plain_mask(groups, alone):
    layout, mask = Layout(groups, CPU), plain_mask(groups)
    query, key, value = inputs = draw(layout.length)
    expected, _ = sdpa_attention_forward(attention_layer(), *inputs, mask, **GIVEN)
    if alone:
        expected, query = expected[:, layout.completed], query[:, :, layout.completed]
    found, weights = attend(attention_layer(), query, key, value, layout, **GIVEN)
    assert weights is None
    torch.testing.assert_close(found, expected)
    pairs = zip(gradients(found, inputs), gradients(expected, inputs), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs)


def test_completions_stand_behind_their_prompts():
    assert Layout([(2, [1]), (3, [2, 1])], CPU).completed.tolist() == [2, 6, 7, 8]


@pytest.mark.parametrize("mask", [None, torch.ones(1, 1, 6, 6, dtype=torch.bool).tril()])
def test_with_an_ordinary_mask_attention_is_what_it_was(mask):
    inputs = draw(6)
    found, _ = by_mask(sdpa_attention_forward)(attention_layer(), *inputs, mask, **GIVEN)
    expected, _ = sdpa_attention_forward(attention_layer(), *inputs, mask, **GIVEN)
    assert torch.equal(found, expected)


def test_the_functions_take_layouts_under_their_names():
    before = AttentionInterface._global_mapping.copy()
    try:
        register_by_mask(Layout, attend)
        layout, inputs = Layout([(3, [2])], CPU), draw(5)
        expected, _ = attend(attention_layer(), *inputs, layout, **GIVEN)
        for name in KNOWN:
            found, _ = AttentionInterface()[name](attention_layer(), *inputs, layout, **GIVEN)
            assert torch.equal(found, expected)
    finally:
        AttentionInterface._global_mapping = before
