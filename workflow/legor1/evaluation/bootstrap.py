"""Bootstrap intervals that resample whole manuals, from the percentiles of the replicates.

Steps of one manual resemble each other, so resampling examples would promise too much precision.
A statistic must follow from sums over examples (means, ratios, F1 of counts); then a replicate is
a weighted sum of the clusters' sums, and all replicates are a few matrix products.

Few manuals leave the interval a little short: in simulations of manuals of 1 to 20 steps, 95 %
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
