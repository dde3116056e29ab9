"""Percentile bootstrap intervals that resample whole manuals.

Steps of one manual resemble each other, so resampling examples would promise too much precision.
A statistic must follow from sums over examples (means, ratios, F1 of counts); then a replicate is
a weighted sum of the clusters' sums, and all replicates are a few matrix products.
"""

from collections.abc import Sequence

import numpy as np

_BATCH = 1 << 21  # weights held at once: 16 MiB


def resampled_sums(
    features: np.ndarray, clusters: Sequence[str], replicates: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the sums of ``features`` in bootstrap replicates of the clusters.

    Args:
        features: (n, k) what is summed, an example a row.
        clusters: the cluster of each example; as many as there are, drawn with replacement,
            make a replicate.
        replicates: how many replicates to draw.
        rng: where the draws come from.

    Returns:
        (replicates, k), or (0, k) for fewer than two clusters, which show no variation.
    """
    names, member = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    if len(names) < 2:
        return np.empty((0, features.shape[1]))
    sums = np.zeros((len(names), features.shape[1]))
    np.add.at(sums, member, features)
    batch = max(1, _BATCH // len(names))
    sizes = [min(batch, replicates - start) for start in range(0, replicates, batch)]
    return np.concatenate([_weights(size, len(names), rng) @ sums for size in sizes])


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
