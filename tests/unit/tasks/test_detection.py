import itertools

import numpy as np
import pytest

from legor1.core.boxes import iou_matrix
from legor1.tasks.metrics.detection import agreement, counts, label_f1, match
from legor1.tasks.parsing import Detection

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
    assert counts(predicted, true)["iou"] == pytest.approx(expected)


RED = Detection((0, 0, 10, 10), "Red brick")  # LEFT under another label
SWAPPED = [Detection(LEFT.box, RIGHT.label), Detection(RIGHT.box, LEFT.label)]


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        ([LEFT, RIGHT], [LEFT, RIGHT], 1),
        (SWAPPED, [LEFT, RIGHT], 0),
        ([Detection(LEFT.box, " 2 RED  Brick. ")], [LEFT], 1),
        ([Detection(LEFT.box, "2 brick red")], [LEFT], 0),
        ([RED, HALF], [LEFT], 0),
        ([LEFT, RED], [RED], 1 / 2),
        (
            [Detection((0, 0, 10, 5), "é"), Detection((0, 0, 10, 10), "É")],
            [Detection(RED.box, "é")],
            1 / 2,
        ),
        ([], [], 1),
        (None, [], 0),
    ],
)
def test_labelled_iou(predicted, true, expected):
    assert counts(predicted, true)["iou_labelled"] == pytest.approx(expected)


def test_labels_may_decide_who_is_matched_with_whom():
    near = Detection((0, 0, 10, 8), "1 blue plate")  # IoU 0.8 with LEFT's box, 0.6 below
    far = Detection((0, 0, 10, 6), "2 red brick")
    numbers = counts([near, far], [LEFT])
    assert (numbers["iou"], numbers["iou_labelled"]) == pytest.approx((0.8 / 2, 0.6 / 2))
    assert (numbers["matched_75"], numbers["matched_75_labelled"]) == (1, 0)
    assert agreement([near, far], [LEFT]).tolist() == [[False], [True]]


@pytest.mark.parametrize(
    ("predicted", "true", "hits"),
    [
        ([LEFT, RIGHT], [RIGHT, LEFT], 2),
        ([LEFT, RIGHT, FAR], [LEFT, RIGHT], 2),
        ([LEFT], [LEFT, RIGHT], 1),
        ([HALF], [LEFT], 1),  # exactly 0.5 is enough
        ([Detection((0, 0, 10, 4.9), "")], [LEFT], 0),
        ([Detection((10, 10, 0, 0), "")], [LEFT], 0),
        ([], [LEFT], 0),
        ([LEFT], [], 0),
        ([], [], 0),
        (None, [LEFT], 0),
        (None, [], 0),
    ],
)
def test_hits_of_one_image(predicted, true, hits):
    numbers = counts(predicted, true)
    assert numbers["matched_50"] == hits
    assert numbers["predicted_boxes"] == len(predicted or ())
    assert numbers["true_boxes"] == len(true)


def test_half_a_box_is_no_hit_at_three_quarters():
    assert counts([HALF], [LEFT])["matched_75"] == 0
    assert counts([LEFT], [LEFT])["matched_75"] == 1


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
