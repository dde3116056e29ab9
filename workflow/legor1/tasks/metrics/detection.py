"""Measures of predicted against true boxes and labels, for one image.

``None`` stands for an answer that could not be parsed. It is a miss, not a missing example.
"""

from collections.abc import Sequence

import numpy as np

from legor1.core.boxes import iou_matrix
from legor1.tasks.metrics.text import token_f1, words
from legor1.tasks.parsing import Detection

THRESHOLDS = {"50": 0.5, "75": 0.75}  # by the suffix of the measures' names
KINDS = ("", "_labelled")  # whether only boxes whose labels agree may be matched

Detections = Sequence[Detection]


def match(gain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns of the one-to-one matching of greatest total gain (Hungarian).

    ``gain`` is (rows, columns), finite; the smaller side is matched in full.
    """
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(gain, maximize=True)


def agreement(predicted: Detections, true: Detections) -> np.ndarray:
    """Return (predicted, true): whether two labels have the same words in the same order."""
    labels = [words(item.label) for item in true]
    pairs = [[words(item.label) == label for label in labels] for item in predicted]
    return np.array(pairs, dtype=bool).reshape(len(predicted), len(true))


def counts(predicted: Detections | None, true: Detections) -> dict[str, float]:
    """Return what is summed over images, by name.

    For both ``KINDS`` of one matching each, that of the greatest total IoU:

    - ``iou``: Σ IoU over the matched pairs / max(number true, number predicted), so that a missing
      box and an extra box cost alike; 1 for empty against empty, 0 for an answer that could not
      be parsed;
    - ``matched_50``, ``matched_75``: matched pairs of at least that IoU.

    ``true_boxes`` and ``predicted_boxes`` are common to both.
    """
    boxes = [] if predicted is None else predicted
    numbers = {"true_boxes": float(len(true)), "predicted_boxes": float(len(boxes))}
    ious = iou_matrix([item.box for item in boxes], [item.box for item in true])
    nothing = float(predicted is not None and not boxes and not true)
    for kind in KINDS:
        gain = ious * agreement(boxes, true) if kind else ious
        matched = gain[match(gain)]
        largest = max(gain.shape)
        numbers[f"iou{kind}"] = float(matched.sum()) / largest if largest else nothing
        for name, threshold in THRESHOLDS.items():
            numbers[f"matched_{name}{kind}"] = float((matched >= threshold).sum())
    return numbers


def label_f1(predicted: Detections | None, true: Detections) -> float:
    """Return the F1 of the words of all labels as multisets, wherever their boxes are.

    Empty against empty is 1, unparsable is 0.
    """
    if predicted is None:
        return 0.0
    return token_f1(" ".join(p.label for p in predicted), " ".join(t.label for t in true))
