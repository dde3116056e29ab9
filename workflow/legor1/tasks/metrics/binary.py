"""Measures of yes/no answers, from the counts of a confusion matrix whose positive class is Yes.

Counts have the names ``CELLS`` and any one shape: one matrix, one an example, or one a bootstrap
replicate. Results have that shape; a measure without a denominator is NaN.
"""

import numpy as np

from legor1.tasks.task import Sums, ratio

CELLS = ("tp", "fp", "fn", "tn")


def confusion(predicted: bool | None, true: bool) -> tuple[int, int, int, int]:
    """Return the (TP, FP, FN, TN) of one answer.

    None, an answer that is neither yes nor no, is a miss: FN for a true Yes, FP for a true No.
    """
    hit = predicted is true
    yes, no = int(true), int(not true)
    return yes * hit, no * (not hit), yes * (not hit), no * hit


def f1(counts: Sums) -> np.ndarray:
    """Return the F1 of Yes; undefined if Yes was neither true nor answered."""
    tp, fp, fn, _ = _cells(counts)
    return ratio(2 * tp, 2 * tp + fp + fn)


def fpr(counts: Sums) -> np.ndarray:
    """Return the share of true Nos not answered No: FP / (FP + TN); undefined without true Nos."""
    _, fp, _, tn = _cells(counts)
    return ratio(fp, fp + tn)


def balanced_accuracy(counts: Sums) -> np.ndarray:
    """Return the mean of the recalls of Yes and No; of one alone, where the other has no case."""
    tp, fp, fn, tn = _cells(counts)
    yes, no = tp + fn, fp + tn
    recalls = np.nan_to_num(ratio(tp, yes)) + np.nan_to_num(ratio(tn, no))
    return ratio(recalls, (yes > 0).astype(float) + (no > 0))


def mcc(counts: Sums) -> np.ndarray:
    """Return Matthews' correlation coefficient of true and predicted answers, in [-1, 1].

    0, which is chance, where only one of Yes and No is true or predicted; undefined without cases.
    """
    tp, fp, fn, tn = _cells(counts)
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    scale = np.sqrt(np.where(product > 0, product, 1.0))
    return np.where(tp + fp + fn + tn > 0, (tp * tn - fp * fn) / scale * (product > 0), np.nan)


def _cells(counts: Sums) -> list[np.ndarray]:
    return [np.asarray(counts[cell], dtype=float) for cell in CELLS]
