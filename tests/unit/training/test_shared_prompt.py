from types import SimpleNamespace

import pytest
import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from legor1.training.fast.attention import KNOWN, by_mask, register_by_mask
from legor1.training.fast.shared_prompt import Layout, attend

CPU = torch.device("cpu")
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


def plain(layout, query, key, value):
    """The oracle: every pair of tokens, those that must not see each other masked."""
    return sdpa_attention_forward(
        attention_layer(), query, key, value, layout.dense(), dropout=0.0, scaling=0.3
    )[0]


def gradients(output, inputs):
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    return torch.autograd.grad((output * weights).sum(), inputs)


def test_the_plain_mask_by_hand():
    """Prompt 0 1, completions 2 3 and 4, then a prompt 5 with the completion 6."""
    mask = Layout([(2, [2, 1]), (1, [1])], CPU).dense()[0, 0]
    seen = [row.nonzero().flatten().tolist() for row in mask]
    assert seen == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 4], [5], [5, 6]]


@pytest.mark.parametrize("groups", LAYOUTS.values(), ids=LAYOUTS)
def test_attention_in_a_packed_row_is_attention_under_the_plain_mask(groups):
    layout = Layout(groups, CPU)
    inputs = draw(layout.length)
    found, weights = attend(attention_layer(), *inputs, layout, dropout=0.0, scaling=0.3)
    expected = plain(layout, *inputs)
    assert weights is None
    torch.testing.assert_close(found, expected)
    pairs = zip(gradients(found, inputs), gradients(expected, inputs), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("mask", [None, torch.ones(1, 1, 6, 6, dtype=torch.bool).tril()])
def test_with_an_ordinary_mask_attention_is_what_it_was(mask):
    inputs = draw(6)
    given = {"dropout": 0.0, "scaling": 0.3}
    attention = by_mask(sdpa_attention_forward, {Layout: attend})
    found, _ = attention(attention_layer(), *inputs, mask, **given)
    expected, _ = sdpa_attention_forward(attention_layer(), *inputs, mask, **given)
    assert torch.equal(found, expected)


def test_installing_extends_the_functions_by_their_names():
    before = AttentionInterface._global_mapping.copy()
    try:
        register_by_mask(Layout, attend)
        for name in KNOWN:
            assert AttentionInterface()[name].forms[Layout] is attend
    finally:
        AttentionInterface._global_mapping = before
