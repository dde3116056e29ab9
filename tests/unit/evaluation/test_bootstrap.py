import numpy as np
import pytest

from legor1.evaluation import resampling
from legor1.evaluation.resampling import cluster_sums, percentile, resampled

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
    monkeypatch.setattr(resampling, "_BATCH", 21)  # seven replicates of three clusters
    assert draw(replicates=500).shape == (500, 2)


@pytest.mark.parametrize("names", [[], ["a"], ["a", "a"]])
def test_fewer_than_two_clusters_give_no_interval(names):
    sums = draw(np.ones((len(names), 2)), names)
    assert sums.shape == (0, 2)
    assert np.isnan(percentile(sums[:, 0], 0.95)).all()


def test_percentile_leaves_out_what_is_undefined():
    values = np.append(np.arange(101.0), [np.nan] * 50)
    assert percentile(values, 0.9) == pytest.approx((5, 95))


def test_the_interval_of_a_mean_is_that_of_scipy():
    from scipy.stats import bootstrap

    values = np.random.default_rng(1).exponential(size=60)
    sums = cluster_sums(np.stack([values, np.ones(60)], axis=1), [f"m{i}" for i in range(60)])
    drawn = resampled(sums, 20_000, np.random.default_rng(0))
    ours = percentile(drawn[:, 0] / drawn[:, 1], 0.95)
    theirs = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.02)


def _coverage(manuals: int, *, clustered: bool = True) -> float:
    """Return how often the 95 % interval of a mean holds it; a manual has 1 to 20 alike steps."""
    covered = []
    for trial in range(1000):
        rng = np.random.default_rng(trial)
        manual = np.repeat(np.arange(manuals), rng.integers(1, 21, manuals))
        level = rng.beta(2, 5, manuals)  # skewed, as scores are; its mean is 2/7
        values = (rng.random(len(manual)) < level[manual]).astype(float)
        names = manual if clustered else np.arange(len(manual))
        sums = cluster_sums(np.stack([values, np.ones(len(manual))], axis=1), names.astype(str))
        drawn = resampled(sums, 1000, rng)
        low, high = percentile(drawn[:, 0] / drawn[:, 1], 0.95)
        covered.append(low <= 2 / 7 <= high)
    return float(np.mean(covered))


@pytest.mark.slow
@pytest.mark.parametrize(("manuals", "low", "high"), [(60, 0.925, 0.97), (16, 0.89, 0.95)])
def test_intervals_hold_the_truth_about_as_often_as_they_say(manuals, low, high):
    assert low <= _coverage(manuals) <= high


@pytest.mark.slow
def test_resampling_steps_instead_of_manuals_would_promise_too_much():
    assert _coverage(60, clustered=False) < 0.85
