from hypothesis import given
from hypothesis import strategies as st

from legor1.inference.batching import batches

LENGTHS = st.lists(st.integers(1, 50), max_size=60)


def test_neighbours_in_length_share_a_budget_of_tokens():
    # 9 + 1 tokens: two fit into 20. 5 + 1: three. 2 + 1: six.
    assert list(batches([2, 9, 5, 8, 5, 2, 5], 1, tokens=20)) == [[1, 3], [2, 4, 6], [0, 5]]


def test_a_batch_of_three_is_a_batch_of_three():
    assert list(batches([2, 9, 5, 8, 5], 100, size=3)) == [[1, 3, 2], [4, 0]]


def test_a_prompt_that_exceeds_the_budget_is_alone():
    assert list(batches([30, 3, 40], 2, tokens=10)) == [[2], [0], [1]]


@given(LENGTHS, st.integers(1, 20), st.integers(1, 200))
def test_each_prompt_is_in_one_batch_within_the_budget(lengths, new, tokens):
    made = list(batches(lengths, new, tokens=tokens))
    assert sorted(at for batch in made for at in batch) == list(range(len(lengths)))
    padded = [max(lengths[at] for at in batch) + new for batch in made]
    assert padded == sorted(padded, reverse=True)
    for batch, width in zip(made, padded, strict=True):
        assert len(batch) == 1 or len(batch) * width <= tokens


@given(LENGTHS, st.integers(1, 20), st.integers(1, 200))
def test_no_batch_could_take_the_next_prompt_too(lengths, new, tokens):
    made = list(batches(lengths, new, tokens=tokens))
    for batch in made[:-1]:
        assert (len(batch) + 1) * (max(lengths[at] for at in batch) + new) > tokens
