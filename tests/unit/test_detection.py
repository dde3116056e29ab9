import itertools

import numpy as np
import pytest

from legor1.answers import Detection
from legor1.boxes import iou_matrix
from legor1.metrics.detection import label_f1, match, matched_iou

LEFT = Detection((0, 0, 10, 10), "2 red brick")
RIGHT = Detection((20, 0, 30, 10), "1 blue plate")
HALF = Detection((0, 0, 10, 5), "red")  # IoU 0.5 with LEFT
FAR = Detection((50, 50, 60, 60), "")


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        ([LEFT, RIGHT], [LEFT, RIGHT], 1),
        ([RIGHT, LEFT], [LEFT, RIGHT], 1),
        ([LEFT, RIGHT, FAR], [LEFT, RIGHT], 2 / 3),
        ([LEFT], [LEFT, RIGHT], 1 / 2),
        ([LEFT, LEFT], [LEFT, RIGHT], 1 / 2),
        ([HALF], [LEFT], 1 / 2),
        ([HALF, LEFT], [LEFT], 1 / 2),
        ([Detection((10, 10, 0, 0), "")], [LEFT], 0),
        ([Detection((5, 5, 5, 5), "")], [LEFT], 0),
        ([], [LEFT], 0),
        ([LEFT], [], 0),
        ([], [], 1),
        (None, [LEFT], 0),
        (None, [], 0),
    ],
)
def test_matched_iou(predicted, true, expected):
    assert matched_iou(predicted, true) == pytest.approx(expected)


def test_the_matching_is_the_best_of_all():
    rng = np.random.default_rng(0)
    for _ in range(20):
        low = rng.uniform(0, 10, (7, 2))
        boxes = np.concatenate([low, low + rng.uniform(2, 10, (7, 2))], axis=1)
        ious = iou_matrix(boxes[:3], boxes[3:])
        best = max(
            sum(ious[row, column] for row, column in enumerate(columns))
            for columns in itertools.permutations(range(4), 3)
        )
        assert ious[match(ious)].sum() == pytest.approx(best)


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        ([LEFT, RIGHT], [RIGHT, LEFT], 1),
        ([LEFT, LEFT], [LEFT, LEFT], 1),
        ([LEFT, LEFT], [LEFT], 2 * 3 / 9),
        ([HALF], [LEFT], 2 * 1 / 4),
        ([], [LEFT], 0),
        ([], [], 1),
        (None, [], 0),
    ],
)
def test_label_f1(predicted, true, expected):
    assert label_f1(predicted, true) == pytest.approx(expected)
