"""Average precision by pycocotools: a secondary figure, since the answers carry no confidence.

The rule: every box has confidence 1, labels play no part, and what ties is taken in the order of
the images given and of the boxes in an answer. So AP tells little that precision and recall at the
same IoU do not; it is here for comparison with other work. An unparsable answer has no boxes.
"""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from legor1.core.boxes import Box, iou_matrix

RULE = "COCO, pycocotools {}; confidence 1 for every box, labels ignored, ties in order of instance"
MEASURES = {"ap": slice(None), "ap_50": slice(0, 1), "ap_75": slice(5, 6)}  # of IoU 0.50:0.05:0.95

Images = Sequence[tuple[Sequence[Box], Sequence[Box]]]


def average_precision(images: Images) -> dict[str, float]:
    """Return AP over IoU 0.50:0.05:0.95, at 0.50 and at 0.75; NaN where there is no true box.

    Args:
        images: (predicted boxes, true boxes) of each image.
    """
    if not any(true for _, true in images):
        return dict.fromkeys(MEASURES, np.nan)
    evaluation = _evaluator(images)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0, 0, 0]  # (thresholds, recall levels)
    return {name: float(precision[part].mean()) for name, part in MEASURES.items()}


def rule() -> str:
    """Return how AP was computed, with the library's version."""
    from importlib.metadata import version

    return RULE.format(version("pycocotools"))


def _evaluator(images: Images) -> Any:
    from pycocotools.cocoeval import COCOeval

    class Evaluation(COCOeval):
        """COCO's evaluation on this project's IoU, which knows what an inverted box overlaps."""

        def computeIoU(self, image: int, category: int) -> np.ndarray:
            predicted, true = images[image]
            return iou_matrix(predicted, true)

    evaluation = Evaluation(iouType="bbox")
    evaluation.cocoGt = _Annotations(images, 1)
    evaluation.cocoDt = _Annotations(images, 0)
    evaluation.params.imgIds = list(range(len(images)))
    evaluation.params.catIds = [1]
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[-np.inf, np.inf]], ["all"]
    evaluation.params.maxDets = [max(1, *(len(predicted) for predicted, _ in images))]
    return evaluation


class _Annotations:
    """What COCO's evaluation asks of a data set: one side of the images as its annotations."""

    def __init__(self, images: Images, side: int) -> None:
        self.annotations: list[dict[str, Any]] = [
            {"id": 0, "image_id": image, "category_id": 1, "area": 1.0, "score": 1.0, "iscrowd": 0}
            for image, sides in enumerate(images)
            for _ in sides[side]
        ]
        for number, annotation in enumerate(self.annotations, 1):
            annotation["id"] = number

    def getAnnIds(self, **_: Any) -> list[int]:
        return [annotation["id"] for annotation in self.annotations]

    def loadAnns(self, _: list[int]) -> list[dict[str, Any]]:
        return self.annotations
