"""What the boxes of all images together tell: average precision, and which frame they are in.

**Average precision** by pycocotools is a secondary figure, since the answers carry no confidence.
Every box has confidence 1, labels play no part, and what ties is taken in the order of the images
given and of the boxes in an answer. So AP tells little that precision and recall at the same IoU
do not; it is here for comparison with other work. An unparsable answer has no boxes.

**The frame.** Boxes written in pixels of the processed image, and scored as if they were in pixels
of the original, have small IoUs however well they were placed. Two signs give such a mistake away:
the slope of predicted over true coordinates is processed/original instead of 1, and the same boxes
rescaled by original/processed score much better.
"""

import contextlib
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from legor1.core.boxes import Box, Size, iou_matrix, rescale
from legor1.tasks.metrics.detection import agreement, match
from legor1.tasks.parsing import Detection

RULE = "COCO, pycocotools {}; confidence 1 for every box, labels ignored, ties in order of instance"
MEASURES = {"ap": slice(None), "ap_50": slice(0, 1), "ap_75": slice(5, 6)}  # of IoU 0.50:0.05:0.95
# What the predictions may be pixels of, and the factor per axis that would put them right. The
# last is what is left by converting from the processed frame boxes that were in the original one.
FRAMES = ("original", "processed", "converted_twice")
MOST_SIZES = 20  # image sizes listed, the most frequent first
MOST_POINTS = 1000  # of a robust fit, whose time is quadratic in them

Pairs = Sequence[tuple[Sequence[Box], Sequence[Box]]]  # predicted and true boxes of each image


@dataclass(frozen=True)
class Image:
    """An answered image: ``size`` of the original, ``processed`` what the model saw."""

    predicted: Sequence[Detection]
    true: Sequence[Detection]
    size: Size
    processed: Size


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


def diagnose_frame(images: Iterable[Image]) -> dict[str, object] | None:
    """Return what tells the frame of the predictions, or None for no images.

    Returns:
        ``images``; ``iou``: frame → the mean IoU that these predictions have if they are in that
        frame and are rescaled to the original's; ``best``: the frame that scores best, where one
        does; ``all``: the fit over all images in fractions of the original's sides; ``sizes``: for
        each image size the fit in pixels, with ``expected``, the slope of processed coordinates.
        A fit has ``pairs``, and for ``x`` and ``y`` the ``slope`` and ``intercept`` of
        predicted over true coordinates (Theil–Sen), null without two different coordinates.
    """
    ious, relative = [], []
    by_size: dict[tuple[Size, Size], list[np.ndarray]] = defaultdict(list)
    for image in images:
        overlaps = _overlaps(image)
        ious.append([_mean_iou(overlap) for overlap in overlaps])
        pairs = _matched_boxes(image, overlaps)
        by_size[image.size, image.processed].append(pairs)
        relative.append(pairs / np.array([*image.size, *image.size]))
    if not ious:
        return None
    scores = dict(zip(FRAMES, map(float, np.mean(ious, axis=0)), strict=True))
    best = [name for name, score in scores.items() if score == max(scores.values())]
    frequent = sorted(by_size.items(), key=lambda item: (-len(item[1]), item[0]))
    return {
        "images": len(ious),
        "iou": scores,
        "best": best[0] if len(best) == 1 else None,
        "all": _fit(relative),
        "sizes": [_size(*sizes, pairs) for sizes, pairs in frequent[:MOST_SIZES]],
    }


def _size(size: Size, processed: Size, pairs: list[np.ndarray]) -> dict[str, object]:
    return {
        "width": size[0],
        "height": size[1],
        "processed_width": processed[0],
        "processed_height": processed[1],
        "images": len(pairs),
        "expected": {axis: processed[i] / size[i] for i, axis in enumerate("xy")},
        **_fit(pairs),
    }


def _overlaps(image: Image) -> list[np.ndarray]:
    """Return the IoU matrix (predicted, true) under each of ``FRAMES``."""
    true = [item.box for item in image.true]
    boxes = [item.box for item in image.predicted]
    there = [rescale(box, image.processed, image.size) for box in boxes]
    back = [rescale(box, image.size, image.processed) for box in boxes]
    return [iou_matrix(predicted, true) for predicted in (boxes, there, back)]


def _mean_iou(overlap: np.ndarray) -> float:
    if not max(overlap.shape):
        return 1.0
    return float(overlap[match(overlap)].sum()) / max(overlap.shape)


def _matched_boxes(image: Image, overlaps: list[np.ndarray]) -> np.ndarray:
    """Return (pairs, 2, 4): the boxes (predicted, true) that stand for the same object.

    The frame is what is asked for, so the matching may not presume it: equal labels count first,
    and among them the IoU in whichever frame suits the pair. Pairs with neither are left out.
    """
    gain = agreement(image.predicted, image.true) + np.max(overlaps, axis=0)
    pairs = [
        (image.predicted[i].box, image.true[j].box)
        for i, j in np.transpose(match(gain))
        if gain[i, j] > 0
    ]
    return np.array(pairs, dtype=float).reshape(-1, 2, 4)


def _fit(pairs: list[np.ndarray]) -> dict[str, object]:
    """Return the fits of (pairs, 2, 4) boxes: both x of each box together, and both y."""
    boxes = np.concatenate(pairs)
    predicted, true = boxes[:, 0], boxes[:, 1]
    x, y = (_line(true[:, i::2].ravel(), predicted[:, i::2].ravel()) for i in range(2))
    return {"pairs": len(boxes), "x": x, "y": y}


def _line(true: np.ndarray, predicted: np.ndarray) -> dict[str, float | None]:
    """Return slope and intercept by Theil–Sen, which up to 29 % of wrong pairs do not move."""
    from scipy.stats import theilslopes

    chosen = np.unique(np.linspace(0, len(true) - 1, MOST_POINTS).round().astype(int))
    if not len(true) or len(np.unique(true[chosen])) < 2:
        return {"slope": None, "intercept": None}
    fit = theilslopes(predicted[chosen], true[chosen])
    return {"slope": float(fit.slope), "intercept": float(fit.intercept)}
