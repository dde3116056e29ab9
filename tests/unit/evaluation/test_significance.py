import itertools
import math

import numpy as np
import pytest

from legor1.evaluation.resampling import holm, swapped_p


def mean(sums):
    return (sums[..., 0] / sums[..., 1])[..., None]


def with_counts(values):
    return np.stack([values, np.ones(len(values))], axis=1)


def p_of(first, second, rounds=20_000):
    rng = np.random.default_rng(0)
    return swapped_p(with_counts(first), with_counts(second), mean, rounds, rng)[0]


def test_swapping_comes_near_the_p_of_all_swaps():
    first, second = np.array([0.1, 0.5, 0.3, 0.9, 0.2, 0.4]), np.array([0.4, 0.7, 0.2, 1, 0.6, 0.5])
    apart = second - first
    signs = np.array(list(itertools.product([-1, 1], repeat=6)))
    exact = (np.abs(signs @ apart) >= abs(apart.sum()) - 1e-9).mean()
    assert p_of(first, second) == pytest.approx(exact, abs=0.01)


def test_p_at_its_ends():
    assert p_of(np.arange(5.0), np.arange(5.0)) == 1
    assert p_of(np.zeros(30), np.ones(30), rounds=999) == 1 / 1000
    assert np.isnan(p_of(np.zeros(1), np.ones(1)))


def test_under_the_null_p_is_spread_evenly():
    rng = np.random.default_rng(1)
    found = [p_of(*rng.exponential(size=(2, 25)), rounds=200) for _ in range(300)]
    for level in (0.1, 0.3, 0.6):
        assert np.mean(np.array(found) <= level) == pytest.approx(level, abs=0.08)


def test_holm_by_hand():
    *adjusted, undefined = holm([0.01, 0.04, 0.03, math.nan])
    assert adjusted == pytest.approx([0.03, 0.06, 0.06]) and math.isnan(undefined)
    assert holm([0.7, 0.8]) == [1, 1]
    assert holm([]) == []
