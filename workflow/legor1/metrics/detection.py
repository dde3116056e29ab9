"""Measures of predicted against true boxes and labels, for one image; each is in [0, 1].

``None`` stands for an answer that could not be parsed. It is a miss, not a missing example.
"""

from collections.abc import Sequence

import numpy as np

from legor1.answers import Detection
from legor1.boxes import iou_matrix
from legor1.metrics.text import token_f1


def match(gain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns of the one-to-one matching of greatest total gain (Hungarian).

    Args:
        gain: (rows, columns), finite; the smaller side is matched in full.
    """
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(gain, maximize=True)


def matched_iou(predicted: Sequence[Detection] | None, true: Sequence[Detection]) -> float:
    """Return Σ IoU over the matched pairs / max(number true, number predicted).

    A missing box and an extra box cost alike. Empty against empty is 1, unparsable is 0.
    """
    if predicted is None:
        return 0.0
    if not predicted and not true:
        return 1.0
    ious = iou_matrix([item.box for item in predicted], [item.box for item in true])
    return float(ious[match(ious)].sum()) / max(ious.shape)


def label_f1(predicted: Sequence[Detection] | None, true: Sequence[Detection]) -> float:
    """Return the F1 of the words of all labels as multisets, wherever their boxes are.

    Empty against empty is 1, unparsable is 0.
    """
    if predicted is None:
        return 0.0
    return token_f1(" ".join(p.label for p in predicted), " ".join(t.label for t in true))
