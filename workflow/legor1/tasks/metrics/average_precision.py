"""Average precision of the boxes of all images, by pycocotools: a secondary figure.

Answers carry no confidence. Every box has confidence 1, labels play no part, and what ties is taken
in the order of the images given and of the boxes in an answer. So AP tells little that precision
and recall at the same IoU do not; it is here for comparison with other work. An unparsable answer
has no boxes.
"""

import contextlib
import io
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from legor1.core.boxes import Box, iou_matrix

RULE = "COCO, pycocotools {}; confidence 1 for every box, labels ignored, ties in order of instance"
MEASURES = {"ap": slice(None), "ap_50": slice(0, 1), "ap_75": slice(5, 6)}  # of IoU 0.50:0.05:0.95

Pairs = Sequence[tuple[Sequence[Box], Sequence[Box]]]  # predicted and true boxes of each image


def average_precision(images: Pairs) -> dict[str, float]:
    """Return AP over IoU 0.50:0.05:0.95, at 0.50 and at 0.75; NaN where there is no true box."""
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
    return RULE.format(version("pycocotools"))


def _evaluator(images: Pairs) -> Any:
    from pycocotools.cocoeval import COCOeval

    class Evaluation(COCOeval):
        """COCO's evaluation on this project's IoU, which knows what an inverted box overlaps."""

        def computeIoU(self, image: int, category: int) -> np.ndarray:
            return iou_matrix(*images[image])

    evaluation = Evaluation(iouType="bbox")
    evaluation.cocoGt = _Annotations([len(true) for _, true in images])
    evaluation.cocoDt = _Annotations([len(predicted) for predicted, _ in images])
    evaluation.params.imgIds = list(range(len(images)))
    evaluation.params.catIds = [1]
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[-np.inf, np.inf]], ["all"]
    evaluation.params.maxDets = [max(1, *(len(predicted) for predicted, _ in images))]
    return evaluation


class _Annotations:
    """What COCO's evaluation asks of a data set, of so many boxes in each image."""

    def __init__(self, counts: Sequence[int]) -> None:
        owners = [image for image, count in enumerate(counts) for _ in range(count)]
        common = {"category_id": 1, "area": 1.0, "score": 1.0, "iscrowd": 0}
        self.annotations = [
            {"id": number, "image_id": image, **common} for number, image in enumerate(owners, 1)
        ]

    def getAnnIds(self, **_: object) -> list[float]:
        return [annotation["id"] for annotation in self.annotations]

    def loadAnns(self, _: list[float]) -> list[dict[str, float]]:
        return self.annotations
