"""Sampled decoding: as distributed as asked, and each row by its own generator."""

import pytest
import torch

from legor1.inference.decoding import choice, greedy

RECIPE = {"seed": 42, "sampling": {"temperature": 0.5, "top_p": 1.0}}


def drawn(recipe, names, scores, tokens=1):
    """Return the tokens that each row draws from the same scores, (rows, tokens)."""
    draw, rows = choice(recipe, names), range(len(names))
    scores = scores.expand(len(names), -1)
    return torch.stack([draw(scores, rows) for _ in range(tokens)], dim=1)


def test_a_recipe_without_sampling_is_greedy():
    assert choice({"seed": 1}, ["a"]) is choice({"sampling": None}, ["a"]) is greedy
    assert greedy(torch.tensor([[0.1, 0.3, 0.2]]), [0]).tolist() == [1]


def test_tokens_are_drawn_as_often_as_the_temperature_says():
    scores = torch.log(torch.tensor([[0.6, 0.3, 0.1]]))
    found = drawn(RECIPE, ["a"], scores, tokens=4000)
    shares = torch.bincount(found[0], minlength=3) / 4000
    squares = torch.tensor([0.36, 0.09, 0.01])  # of temperature 0.5
    assert shares.tolist() == pytest.approx((squares / squares.sum()).tolist(), abs=0.03)


def test_unlikely_tokens_are_cut_by_top_k_and_top_p():
    scores = torch.log(torch.tensor([[0.1, 0.4, 0.3, 0.2]]))
    for cut, kept in (({"top_k": 2}, {1, 2}), ({"top_p": 0.5}, {1, 2}), ({"top_p": 0.3}, {1})):
        recipe = {"seed": 1, "sampling": {"temperature": 1.0} | cut}
        assert set(drawn(recipe, ["a"], scores, tokens=300)[0].tolist()) == kept


def test_a_row_draws_the_same_whatever_stands_beside_it():
    scores = torch.zeros(1, 1000)
    alone = drawn(RECIPE, ["b"], scores, tokens=8)
    together = drawn(RECIPE, ["a", "b", "c"], scores, tokens=8)
    assert torch.equal(alone[0], together[1])
    assert not torch.equal(together[0], together[1])
    draw = choice(RECIPE, ["a", "b", "c"])  # the first has ended and left the batch
    left = torch.stack([draw(scores.expand(2, -1), [1, 2]) for _ in range(8)], dim=1)
    assert torch.equal(left, together[1:])
    other = drawn(RECIPE | {"seed": 43}, ["b"], scores, tokens=8)
    assert not torch.equal(alone, other)
