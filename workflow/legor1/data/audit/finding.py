"""One finding of the audit: what was measured for a defect, its interval, and the verdict."""

from collections.abc import Callable, Sequence

import numpy as np

from legor1.core.seeding import generator
from legor1.data.instances import Record
from legor1.evaluation import bootstrap
from legor1.tasks.metrics.binary import CELLS, balanced_accuracy

# An audit makes some twenty findings: at 95 % one of them would be a false alarm.
CONFIDENCE = 0.99
REPLICATES = 2000
SEED = 0

Finding = Record  # an entry of audit.json; of what could not be measured, the numbers are None


def share(
    defect: str,
    variant: str | None,
    measured: str,
    rows: Sequence[Record],
    flag: Callable[[Record], float],
    *,
    chance: float | None = None,
) -> Finding:
    """Return a finding whose value is the mean of ``flag`` over ``rows``, each with its manual.

    Args:
        variant: of the conversations; None where both are the same in this.
        chance: without the defect, the mean; the verdict is whether the interval leaves it. None:
            no case should be, and one is enough.
    """
    manuals = [row["manual"] for row in rows]
    features = np.array([[flag(row), 1] for row in rows], dtype=float).reshape(-1, 2)
    finding = _finding(
        defect, variant, measured, features, manuals, lambda s: s[..., 0] / s[..., 1], chance or 0.0
    )
    if chance is None and finding["value"] is not None:
        finding["verdict"] = "found" if finding["value"] > 0 else "none"
    return finding


def accuracy(
    defect: str, measured: str, confusions: Sequence[Sequence[int]], manuals: Sequence[str]
) -> Finding:
    """Return a finding whose value is a balanced accuracy, from (TP, FP, FN, TN) a case.

    No case means that it could not be measured; less than chance is no defect.
    """
    features = np.array(confusions, dtype=float).reshape(-1, 4)

    def statistic(sums: np.ndarray) -> np.ndarray:
        return balanced_accuracy(dict(zip(CELLS, np.moveaxis(sums, -1, 0), strict=True)))

    finding = _finding(defect, None, measured, features, manuals, statistic, 0.5)
    if finding["low"] is not None and finding["low"] <= 0.5:
        finding["verdict"] = "none"
    return finding


def _finding(
    defect: str,
    variant: str | None,
    measured: str,
    features: np.ndarray,
    manuals: Sequence[str],
    statistic: Callable[[np.ndarray], np.ndarray],
    chance: float,
) -> Finding:
    """Return a finding whose verdict is whether the interval leaves ``chance``."""
    finding: Finding = {"defect": defect, "variant": variant, "measured": measured, "value": None}
    finding |= {"low": None, "high": None, "chance": None}
    finding |= {"n": len(features), "manuals": len(set(manuals)), "verdict": "not measured"}
    if not len(features):
        return finding
    rng = generator(SEED, "audit", f"{defect} {variant} {measured}")
    sums = bootstrap.cluster_sums(features, manuals)
    ends = bootstrap.percentile(statistic(bootstrap.resampled(sums, REPLICATES, rng)), CONFIDENCE)
    low, high = (None if np.isnan(end) else end for end in ends)
    inside = low is None or high is None or low <= chance <= high
    value = float(statistic(features.sum(axis=0)))
    found = {"value": value, "low": low, "high": high, "chance": chance}
    return finding | found | {"verdict": "none" if inside else "found"}
