from types import SimpleNamespace

import pytest
import torch
import transformers.modeling_flash_attention_utils as flash
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from legor1.training.fast.attention import by_mask, register_by_mask
from legor1.training.fast.shared_prompt import (
    SHARED,
    Layout,
    Sequences,
    flash_shared,
    sdpa_shared,
)

CPU = torch.device("cpu")
LAYOUTS = {
    "one completion": [(3, [2])],
    "shorter than the prompt": [(9, [2, 1, 4])],
    "longer than the prompt": [(2, [5, 1, 3])],
    "as long as the prompt": [(4, [2, 2])],
    "several groups": [(5, [1, 3]), (1, [4, 4, 2]), (7, [6])],
}


def attention_layer(implementation="sdpa"):
    """What the attention functions look at: four query heads on two of keys and values."""
    layer = torch.nn.Module()
    layer.projection = torch.nn.Linear(1, 1)
    layer.num_key_value_groups = 2
    layer.is_causal = True
    layer.config = SimpleNamespace(_attn_implementation=implementation)
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


def varlen(
    q,
    k,
    v,
    cu_seqlens_q,
    cu_seqlens_k,
    max_seqlen_q,
    max_seqlen_k,
    dropout_p=0.0,
    softmax_scale=None,
    causal=False,
):
    """What flash_attn_varlen_func says that it computes, slowly."""
    assert dropout_p == 0
    assert cu_seqlens_q.dtype == cu_seqlens_k.dtype == torch.int32
    assert cu_seqlens_q[-1] == len(q) and cu_seqlens_k[-1] == len(k) == len(v)
    assert cu_seqlens_q.diff().max() == max_seqlen_q and cu_seqlens_k.diff().max() == max_seqlen_k
    outputs = []
    for row in range(len(cu_seqlens_q) - 1):
        of_q = slice(cu_seqlens_q[row], cu_seqlens_q[row + 1])
        of_k = slice(cu_seqlens_k[row], cu_seqlens_k[row + 1])
        queries, keys, values = (x.transpose(0, 1) for x in (q[of_q], k[of_k], v[of_k]))
        keys, values = (x.repeat_interleave(len(queries) // len(x), 0) for x in (keys, values))
        scores = queries @ keys.mT * softmax_scale
        if causal:  # aligned at the end
            seen = torch.ones(scores.shape[-2:], dtype=torch.bool)
            seen = seen.tril(scores.size(2) - scores.size(1))
            scores = scores.masked_fill(~seen, float("-inf"))
        outputs.append((scores.softmax(-1) @ values).transpose(0, 1))
    return torch.cat(outputs)


@pytest.fixture
def emulated_flash(monkeypatch):
    """Transformers' own way to FlashAttention, but for the kernel at its end."""
    process = flash._lazy_define_process_function(varlen)
    functions = (None, varlen, None, None, None), (process, None)
    monkeypatch.setattr(flash, "lazy_import_flash_attention", lambda *_, **__: functions)


def test_the_plain_mask_by_hand():
    """Prompt 0 1, completions 2 3 and 4, then a prompt 5 with the completion 6."""
    mask = Layout([(2, [2, 1]), (1, [1])], CPU).dense()[0, 0]
    seen = [row.nonzero().flatten().tolist() for row in mask]
    assert seen == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 4], [5], [5, 6]]


@pytest.mark.parametrize("groups", LAYOUTS.values(), ids=LAYOUTS)
def test_sdpa_in_a_packed_row_is_attention_under_the_plain_mask(groups):
    layout = Layout(groups, CPU)
    inputs = draw(layout.length)
    found, weights = sdpa_shared(attention_layer(), *inputs, layout, dropout=0.0, scaling=0.3)
    expected = plain(layout, *inputs)
    assert weights is None
    torch.testing.assert_close(found, expected)
    pairs = zip(gradients(found, inputs), gradients(expected, inputs), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("groups", LAYOUTS.values(), ids=LAYOUTS)
def test_flash_in_a_packed_row_is_attention_under_the_plain_mask(groups, emulated_flash):
    layout = Layout(groups, CPU)
    inputs = draw(layout.length)
    layer = attention_layer("flash_attention_2")
    found, _ = flash_shared(layer, *inputs, layout, dropout=0.0, scaling=0.3, position_ids=None)
    expected = plain(layout, *inputs)
    torch.testing.assert_close(found, expected)
    pairs = zip(gradients(found, inputs), gradients(expected, inputs), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs)


def test_flash_gets_the_completions_behind_the_keys_of_their_prompt():
    found = Layout([(2, [2, 1]), (1, [3])], CPU).completions
    assert found.queries.tolist() == [2, 3, 4, 6, 7, 8]
    assert found.keys.tolist() == [0, 1, 2, 3, 0, 1, 4, 5, 6, 7, 8]
    assert found.form["cu_seq_lens_q"].tolist() == [0, 2, 3, 6]
    assert found.form["cu_seq_lens_k"].tolist() == [0, 4, 7, 11]
    assert (found.form["max_length_q"], found.form["max_length_k"]) == (3, 4)


def test_flash_gets_the_prompts_as_rows_of_their_own():
    found = Layout([(2, [2, 1]), (1, [3])], CPU).prompts
    expected = Sequences([range(0, 2), range(5, 6)], [range(0, 2), range(5, 6)], CPU)
    assert found.queries.tolist() == found.keys.tolist() == [0, 1, 5]
    for side in "qk":
        assert found.form[f"cu_seq_lens_{side}"].tolist() == [0, 2, 3]
        assert found.form[f"max_length_{side}"] == expected.form[f"max_length_{side}"] == 2


@pytest.mark.parametrize("mask", [None, torch.ones(1, 1, 6, 6, dtype=torch.bool).tril()])
def test_with_an_ordinary_mask_attention_is_what_it_was(mask):
    inputs = draw(6)
    given = {"dropout": 0.0, "scaling": 0.3}
    attention = by_mask(sdpa_attention_forward, {Layout: sdpa_shared})
    found, _ = attention(attention_layer(), *inputs, mask, **given)
    expected, _ = sdpa_attention_forward(attention_layer(), *inputs, mask, **given)
    assert torch.equal(found, expected)


def test_installing_extends_the_functions_by_their_names():
    before = AttentionInterface._global_mapping.copy()
    try:
        register_by_mask(Layout, SHARED)
        for name, attention in SHARED.items():
            assert AttentionInterface()[name].forms[Layout] is attention
    finally:
        AttentionInterface._global_mapping = before
