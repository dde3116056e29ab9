"""How sure a number is: intervals by a bootstrap, and tests of differences, of whole manuals.

Steps of one manual resemble each other, so resampling examples would promise too much precision.
A statistic must follow from sums over examples (means, ratios, F1 of counts); then a replicate is
a weighted sum of the clusters' sums, and all replicates are a few matrix products.

Few manuals leave the interval a little short: in simulations of manuals of 1 to 20 steps, 95 %
intervals of a mean held the truth in 94 % of cases with 60 manuals, and in 91 % with 16 or 30.
"""

from collections.abc import Callable, Sequence

import numpy as np

_BATCH = 1 << 21  # weights, or random bits, held at once as floats: 16 MiB


def cluster_sums(features: np.ndarray, clusters: Sequence[str]) -> np.ndarray:
    """Return (clusters, k): the sums of ``features`` (n, k) in each cluster, by sorted name."""
    names, member = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    sums = np.zeros((len(names), features.shape[1]))
    np.add.at(sums, member, features)
    return sums


def resampled(sums: np.ndarray, replicates: int, rng: np.random.Generator) -> np.ndarray:
    """Return (replicates, k): ``sums`` (clusters, k) of as many clusters, drawn with replacement.

    Fewer than two clusters show no variation: then there is no replicate, (0, k).
    """
    clusters = len(sums)
    if clusters < 2:
        return np.empty((0, sums.shape[1]))
    batch = max(1, _BATCH // clusters)
    sizes = [min(batch, replicates - start) for start in range(0, replicates, batch)]
    return np.concatenate([_weights(size, clusters, rng) @ sums for size in sizes])


def percentile(replicates: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the (low, high) quantiles that hold the middle ``confidence`` of the replicates.

    Replicates in which the statistic is undefined are left out; with none left, both are NaN.
    """
    defined = replicates[np.isfinite(replicates)]
    if not len(defined):
        return np.nan, np.nan
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _weights(replicates: int, clusters: int, rng: np.random.Generator) -> np.ndarray:
    """Return (replicates, clusters): how often each is drawn. Rows are multinomial.

    Counting draws is an order of magnitude faster than numpy's multinomial of many categories.
    """
    drawn = rng.integers(clusters, size=(replicates, clusters))
    drawn += np.arange(replicates)[:, None] * clusters
    counts = np.bincount(drawn.ravel(), minlength=replicates * clusters)
    return counts.reshape(replicates, clusters).astype(float)


def swapped_p(
    first: np.ndarray,
    second: np.ndarray,
    statistics: Callable[[np.ndarray], np.ndarray],
    rounds: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the two-sided p of each statistic's difference, by swapping whole clusters.

    If the two systems are alike, it does not matter which answers of a cluster are whose. Each
    round swaps the answers of each cluster with probability 1/2; p is the share of rounds, the
    observed one among them, whose difference is at least as large as the observed.

    Args:
        first, second: (clusters, k) the sums of each cluster's features.
        statistics: (..., k) sums → (..., m) statistics, NaN where undefined.

    Returns:
        (m,) in (0, 1]; NaN for fewer than two clusters or an undefined observed difference.
    """
    clusters = len(first)
    observed = np.abs(statistics(second.sum(axis=0)) - statistics(first.sum(axis=0)))
    if clusters < 2:
        return np.full_like(observed, np.nan)
    as_large, defined = np.ones_like(observed), np.ones_like(observed)
    total, apart = first.sum(axis=0) + second.sum(axis=0), second - first
    batch = max(1, _BATCH // clusters)
    for start in range(0, rounds, batch):
        swap = rng.integers(2, size=(min(batch, rounds - start), clusters)).astype(float)
        swapped = first.sum(axis=0) + swap @ apart
        differences = np.abs(statistics(total - swapped) - statistics(swapped))
        # Sums in another order differ in the last digits: a tie counts as as large.
        as_large += (differences >= observed - 1e-12).sum(axis=0)
        defined += np.isfinite(differences).sum(axis=0)
    return np.where(np.isfinite(observed), as_large / defined, np.nan)


def holm(p: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p of each test of a family; NaN stays so, and counts as none."""
    defined = sorted((value, i) for i, value in enumerate(p) if np.isfinite(value))
    adjusted, largest = [np.nan] * len(p), 0.0
    for rank, (value, i) in enumerate(defined):
        largest = max(largest, min(1.0, (len(defined) - rank) * value))
        adjusted[i] = largest
    return adjusted


def significant(p: float | None, confidence: float) -> bool:
    """Return whether an adjusted p is below 1 - ``confidence``; without a number it is not."""
    return p is not None and p < round(1 - confidence, 9)  # 1 - 0.95 is more than 0.05
