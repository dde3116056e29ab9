import math

import numpy as np
import pytest

from legor1.evaluation import bootstrap
from legor1.evaluation.bootstrap import bca, cluster_sums, left_out, percentile, resampled

NAMES = ["a", "a", "b", "c", "c", "c"]
FEATURES = np.array([[1.0, 1], [3, 1], [10, 1], [100, 1], [200, 1], [300, 1]])


def draw(features=FEATURES, clusters=NAMES, replicates=500, seed=0):
    return resampled(cluster_sums(features, clusters), replicates, np.random.default_rng(seed))


def test_whole_clusters_are_drawn_as_many_as_there_are():
    clusters = np.array([[4, 2], [10, 1], [600, 3]])
    possible = {tuple(a + b + c) for a in clusters for b in clusters for c in clusters}
    assert {tuple(sums) for sums in draw()} == possible


def test_every_draw_is_as_likely():
    one_hot = np.eye(3)
    counts = draw(one_hot, ["a", "b", "c"], 20_000)
    assert counts.mean(axis=0) == pytest.approx([1, 1, 1], abs=0.02)
    assert counts.var(axis=0) == pytest.approx([2 / 3] * 3, abs=0.03)


def test_the_replicates_do_not_depend_on_the_order_of_examples():
    order = [5, 2, 0, 4, 1, 3]
    assert (draw() == draw(FEATURES[order], [NAMES[i] for i in order])).all()


def test_batches_are_complete(monkeypatch):
    monkeypatch.setattr(bootstrap, "_BATCH", 21)  # seven replicates of three clusters
    assert draw(replicates=500).shape == (500, 2)


def test_one_cluster_at_a_time_is_left_out():
    assert left_out(cluster_sums(FEATURES, NAMES)).tolist() == [[610, 4], [604, 5], [14, 3]]


@pytest.mark.parametrize("names", [[], ["a"], ["a", "a"]])
def test_fewer_than_two_clusters_give_no_interval(names):
    sums = draw(np.ones((len(names), 2)), names)
    assert sums.shape == (0, 2)
    assert np.isnan(percentile(sums[:, 0], 0.95)).all()


def test_percentile_leaves_out_what_is_undefined():
    values = np.append(np.arange(101.0), [np.nan] * 50)
    assert percentile(values, 0.9) == pytest.approx((5, 95))


@pytest.mark.parametrize("method", ["percentile", "BCa"])
def test_the_interval_of_a_mean_is_that_of_scipy(method):
    from scipy.stats import bootstrap

    values = np.random.default_rng(1).exponential(size=60)
    sums = cluster_sums(np.stack([values, np.ones(60)], axis=1), [f"m{i}" for i in range(60)])
    drawn = resampled(sums, 20_000, np.random.default_rng(0))
    drawn, kept = drawn[:, 0] / drawn[:, 1], left_out(sums)[:, 0] / 59
    ours = (
        percentile(drawn, 0.95) if method == "percentile" else bca(drawn, values.mean(), kept, 0.95)
    )
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method=method, rng=1)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.02)


def test_bca_shifts_a_skewed_interval_and_leaves_a_symmetric_one():
    even = np.linspace(-1, 1, 2001)
    assert bca(even, 0.0, np.array([-1.0, 0, 1]), 0.9) == pytest.approx((-0.9, 0.9), abs=1e-3)
    low, high = bca(even, -0.1, np.array([-1.0, 0, 1]), 0.9)  # 45 % of the replicates lie below
    z, z0 = 1.6449, -0.12566
    expected = [2 * _normal(2 * z0 + side * z) - 1 for side in (-1, 1)]
    assert (low, high) == pytest.approx(expected, abs=2e-3)
    skewed = bca(even, 0.0, np.array([-3.0, 1, 1, 1]), 0.9)
    assert skewed[0] > -0.9 and skewed[1] > 0.9


def _normal(z):
    return (1 + math.erf(z / math.sqrt(2))) / 2


def test_bca_where_there_is_nothing_to_correct_or_no_telling():
    one, kept = np.ones(100), np.ones(5)
    assert bca(one, 1.0, kept, 0.95) == (1, 1)
    assert bca(one + 1e-15, 1.0, kept, 0.95) == pytest.approx((1, 1))
    for drawn, value in ((one, 2.0), (one, np.nan), (one[:0], 1.0), (one * np.nan, 1.0)):
        assert np.isnan(bca(drawn, value, kept, 0.95)).all()


def _coverage(manuals: int, *, clustered: bool = True) -> tuple[float, float]:
    """Return how often both 95 % intervals of a mean hold it; a manual has 1 to 20 alike steps."""
    covered = []
    for trial in range(1000):
        rng = np.random.default_rng(trial)
        manual = np.repeat(np.arange(manuals), rng.integers(1, 21, manuals))
        level = rng.beta(2, 5, manuals)  # skewed, as scores are; its mean is 2/7
        values = (rng.random(len(manual)) < level[manual]).astype(float)
        names = manual if clustered else np.arange(len(manual))
        sums = cluster_sums(np.stack([values, np.ones(len(manual))], axis=1), names.astype(str))
        drawn = resampled(sums, 1000, rng)
        drawn, kept = drawn[:, 0] / drawn[:, 1], np.divide(*left_out(sums).T)
        ends = percentile(drawn, 0.95), bca(drawn, values.mean(), kept, 0.95)
        covered.append([low <= 2 / 7 <= high for low, high in ends])
    return tuple(np.mean(covered, axis=0))


@pytest.mark.slow
@pytest.mark.parametrize(("manuals", "low", "high"), [(60, 0.925, 0.97), (16, 0.89, 0.95)])
def test_intervals_hold_the_truth_about_as_often_as_they_say(manuals, low, high):
    assert all(low <= coverage <= high for coverage in _coverage(manuals))


@pytest.mark.slow
def test_resampling_steps_instead_of_manuals_would_promise_too_much():
    assert max(_coverage(60, clustered=False)) < 0.85
