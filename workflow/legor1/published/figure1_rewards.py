"""The two reward configurations of the thesis's Figure 1: its first iteration, boxes only.

Answers are ``<p>label</p> {<x1><y1><x2><y2>}`` repeated, in percent of the image's sides; labels
do not count. What the thesis leaves open is settled so: a text fails to parse if it has no box, or
a ``<p>`` that is no whole item; normalising a coordinate to [0, 100] is clipping it, since a
reward does not know the image's size.
"""

import numpy as np

from legor1.core.boxes import Box, iou_matrix
from legor1.tasks.metrics.detection import match
from legor1.tasks.parsing import MOST_BOXES, extract, parse_tagged
from legor1.tasks.rewards import Suite

FARTHEST = 100.0
BONUS = 0.1
PENALTY = 0.5


def _always_object(solution: str) -> str:
    return "object"


CONFIGURATION1 = Suite(_always_object, percent=True)
CONFIGURATION2 = Suite(_always_object, percent=True)


@CONFIGURATION1.reward("object")
def configuration1(completion: str, solution: str, task: str) -> float | None:
    """Return IoU (halved if a coordinate lies outside) + 0.1 for each coordinate inside.

    As many boxes as there should be give 0.1 more. The sum has no cap: n boxes, all inside, give
    at least 0.4 n, wherever they are.
    """
    if task != "object":
        return None
    predicted, true = _boxes(completion), _boxes(solution)
    if not predicted or not true:
        return 0.0
    coordinates = np.array(predicted)
    inside = (coordinates >= 0) & (coordinates <= FARTHEST)
    iou = _matched_mean(coordinates.clip(0, FARTHEST).tolist(), true)
    iou *= 1.0 if inside.all() else PENALTY
    return iou + BONUS * int(inside.sum()) + BONUS * (len(predicted) == len(true))


@CONFIGURATION2.reward("object")
def configuration2(completion: str, solution: str, task: str) -> float | None:
    """Return IoU, + 0.1 for as many boxes as there should be, at most 1.

    An answer that fails to parse, or has an empty or inverted box, gives 0.
    """
    if task != "object":
        return None
    predicted, true = _boxes(completion), _boxes(solution)
    if not predicted or not true or not all(x2 > x1 and y2 > y1 for x1, y1, x2, y2 in predicted):
        return 0.0
    iou = _matched_mean(predicted, true)
    return min(iou + BONUS * (len(predicted) == len(true)), 1.0)


def _boxes(text: str) -> list[Box]:
    """Return the boxes of an answer, none if it cannot be parsed."""
    body = extract(text)
    boxes = [item.box for item in parse_tagged(body)]
    return boxes if MOST_BOXES >= len(boxes) == body.lower().count("<p>") else []


def _matched_mean(predicted: list[Box], true: list[Box]) -> float:
    """Return the mean IoU of the Hungarian-matched pairs."""
    ious = iou_matrix(predicted, true)
    return float(ious[match(ious)].mean())
