import contextlib
import io

import numpy as np
import pytest

from legor1.tasks.metrics.average_precision import average_precision, rule

BOX, HALF, FAR = (0, 0, 10, 10), (0, 0, 10, 5), (50, 50, 60, 60)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([([BOX], [BOX])], (1, 1, 1)),
        ([([FAR, BOX], [BOX, FAR])], (1, 1, 1)),
        ([([HALF], [BOX])], (0.1, 1, 0)),  # IoU 0.5: one of the ten thresholds
        ([([BOX], [BOX, FAR])], (51 / 101, 51 / 101, 51 / 101)),  # recall to 0.5, in 101 levels
        ([([FAR, BOX], [BOX])], (0.5, 0.5, 0.5)),  # the first said is wrong
        ([([BOX, FAR], [BOX])], (1, 1, 1)),  # the order of the answer stands for confidence
        ([([(10, 10, 0, 0)], [BOX]), ([], [BOX])], (0, 0, 0)),
        ([([(5, 5, 5, 5)], [(5, 5, 5, 5)])], (0, 0, 0)),  # no area, no overlap
        ([([], [BOX])], (0, 0, 0)),
    ],
)
def test_by_hand(images, expected):
    found = average_precision(images)
    assert tuple(found.values()) == pytest.approx(expected)


def test_without_true_boxes_it_is_undefined():
    assert np.isnan(list(average_precision([([BOX], [])]).values())).all()
    assert np.isnan(average_precision([])["ap"])


def test_the_rule_names_the_library():
    assert "pycocotools 2." in rule()


def random_images(count):
    rng = np.random.default_rng(0)
    for _ in range(count):
        low = rng.uniform(0, 80, (rng.integers(1, 4), 2))
        true = np.concatenate([low, low + rng.uniform(10, 30, low.shape)], axis=1)
        said = true[rng.random(len(true)) < 0.8] + rng.normal(0, 2, 4)
        yield [tuple(b) for b in said.tolist()], [tuple(b) for b in true.tolist()]


def coco(images, side):
    from pycocotools.coco import COCO

    data = COCO()
    boxes = [(i, box) for i, sides in enumerate(images) for box in sides[side]]
    data.dataset = {
        "images": [{"id": i} for i in range(len(images))],
        "categories": [{"id": 1}],
        "annotations": [
            {"id": n, "image_id": i, "category_id": 1, "iscrowd": 0, "score": 1.0}
            | {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
            for n, (i, (x1, y1, x2, y2)) in enumerate(boxes, 1)
        ],
    }
    data.createIndex()
    return data


def test_agrees_with_pycocotools_on_its_own_boxes():
    from pycocotools.cocoeval import COCOeval

    images = list(random_images(40))
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(coco(images, 1), coco(images, 0), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    found = average_precision(images)
    assert 0.2 < found["ap"] < 0.95
    assert list(found.values()) == pytest.approx(evaluation.stats[:3].tolist())


def test_its_hits_are_those_of_the_matching_where_boxes_lie_apart():
    from legor1.tasks.metrics.detection import counts
    from legor1.tasks.parsing import Detection

    images = list(random_images(40))
    apart = [(said[:1], true[:1]) for said, true in images]
    recall = sum(
        counts([Detection(b, "") for b in said], [Detection(b, "") for b in true])["matched_50"]
        for said, true in apart
    ) / len(apart)
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(coco(apart, 1), coco(apart, 0), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    assert evaluation.eval["recall"][0, 0, 0, -1] == pytest.approx(recall)
