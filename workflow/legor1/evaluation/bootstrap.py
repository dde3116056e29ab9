"""Bootstrap intervals that resample whole manuals: percentile, and bias-corrected (BCa).

Steps of one manual resemble each other, so resampling examples would promise too much precision.
A statistic must follow from sums over examples (means, ratios, F1 of counts); then a replicate is
a weighted sum of the clusters' sums, and all replicates are a few matrix products.

Few manuals leave either interval a little short: in simulations of manuals of 1 to 20 steps, 95 %
intervals of a mean held the truth in 94 % of cases with 60 manuals, and in 91 % with 16 or 30.
"""

from collections.abc import Sequence

import numpy as np

_BATCH = 1 << 21  # weights held at once: 16 MiB


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


def left_out(sums: np.ndarray) -> np.ndarray:
    """Return (clusters, k): the sums of all clusters but one, for each (the jackknife)."""
    return sums.sum(axis=0) - sums


def percentile(replicates: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the (low, high) quantiles that hold the middle ``confidence`` of the replicates.

    Replicates in which the statistic is undefined are left out; with none left, both are NaN.
    """
    return _quantiles(replicates, (1 - confidence) / 2, (1 + confidence) / 2)


def bca(
    replicates: np.ndarray, value: float, jackknife: np.ndarray, confidence: float
) -> tuple[float, float]:
    """Return the bias-corrected and accelerated interval (Efron 1987).

    Args:
        replicates: (r,) the statistic in each replicate; the undefined are left out.
        value: the statistic of the sample.
        jackknife: (clusters,) the statistic without each cluster; the undefined are left out.

    Returns:
        (low, high); NaN where the value or all replicates are undefined, or all lie on one side of
        the value, which leaves the bias without an estimate.
    """
    from scipy.special import ndtr, ndtri

    defined = replicates[np.isfinite(replicates)]
    if not len(defined) or not np.isfinite(value):
        return np.nan, np.nan
    # Sums in another order differ in the last digits: such a replicate ties, it is not below.
    level = np.isclose(defined, value, rtol=1e-12, atol=1e-12)
    below = ((defined < value) & ~level).mean() + level.mean() / 2
    if not 0 < below < 1:
        return np.nan, np.nan
    jackknife = jackknife[np.isfinite(jackknife)]
    away = jackknife.mean() - jackknife if len(jackknife) else np.zeros(1)
    spread = (away**2).sum() ** 1.5
    acceleration = (away**3).sum() / (6 * spread) if spread > 0 else 0.0
    bias = ndtri(below)
    shifted = bias + ndtri([(1 - confidence) / 2, (1 + confidence) / 2])
    low, high = ndtr(bias + shifted / (1 - acceleration * shifted))
    return _quantiles(defined, low, high)


def _quantiles(replicates: np.ndarray, low: float, high: float) -> tuple[float, float]:
    defined = replicates[np.isfinite(replicates)]
    if not len(defined):
        return np.nan, np.nan
    first, last = np.quantile(defined, [low, high])
    return float(first), float(last)


def _weights(replicates: int, clusters: int, rng: np.random.Generator) -> np.ndarray:
    """Return (replicates, clusters): how often each is drawn. Rows are multinomial.

    Counting draws is an order of magnitude faster than numpy's multinomial of many categories.
    """
    drawn = rng.integers(clusters, size=(replicates, clusters))
    drawn += np.arange(replicates)[:, None] * clusters
    counts = np.bincount(drawn.ravel(), minlength=replicates * clusters)
    return counts.reshape(replicates, clusters).astype(float)
