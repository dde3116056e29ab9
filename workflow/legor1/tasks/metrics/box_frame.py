"""In which frame predicted boxes are: in which units, of which image, in which order.

Boxes written in pixels of the processed image, and scored as if they were in pixels of the
original, have small IoUs however well they were placed. So the numbers are read as each of
``FRAMES`` in turn and compared with the true boxes: in the right frame they fit best. It is named
only if it fits best for nearly every resample of the images, and if the boxes fit their own image
better than another: else they tell nothing.

A frame that is none of these shows in the slope of predicted over true coordinates.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from legor1.core.boxes import SCALES, Box, Size, iou_matrix
from legor1.core.seeding import generator
from legor1.tasks.metrics.detection import agreement, match
from legor1.tasks.parsing import Detection

Unit = Callable[[Size, Size], tuple[float, float]]
# What stands for the image's width and height, given its original and processed size. The last
# is what is left of boxes that were in the original frame, and were taken for processed ones.
UNITS: dict[str, Unit] = {
    "original": lambda size, _: size,
    "processed": lambda _, processed: processed,
    **{unit: lambda *_, whole=whole: whole for unit, whole in SCALES.items()},
    "converted_twice": lambda size, processed: (
        size[0] * size[0] / processed[0],
        size[1] * size[1] / processed[1],
    ),
}
ORDERS = ("", "_yx", "_xywh")  # x1 y1 x2 y2; y1 x1 y2 x2; x1 y1 and width and height
READINGS = [
    (unit, order) for unit in UNITS for order in ORDERS if unit != "converted_twice" or not order
]
FRAMES = tuple(unit + order for unit, order in READINGS)
RESAMPLES = 1000
SURE = 0.99  # the least share of the resamples in which the frame that is named fits best
MOST_SIZES = 20  # image sizes listed, the most frequent first
MOST_POINTS = 1000  # of a robust fit, whose time is quadratic in them


@dataclass(frozen=True)
class Image:
    """An answered image: ``size`` of the original, ``processed`` what the model saw.

    Images of one ``manual`` are resampled together.
    """

    predicted: Sequence[Detection]
    true: Sequence[Detection]
    size: Size
    processed: Size
    manual: object = None


def diagnose_frame(images: Iterable[Image]) -> dict[str, object] | None:
    """Return what tells the frame of the predictions, or None for no images.

    Returns:
        ``images``; ``iou``: frame → the mean IoU that these predictions have if they are in that
        frame; ``best``: the frame that they are in, None if that cannot be told; ``certainty``: the
        share of resamples that it holds for; ``alike``: the frames that are the same as the best
        one for these images; ``all``: the fit over all images in fractions of the original's sides;
        ``sizes``: for each image size its own ``best`` and the fit in pixels, with ``expected``,
        the slope of processed coordinates. A fit has ``pairs``, and for ``x`` and ``y`` the
        ``slope`` and ``intercept`` of predicted over true coordinates (Theil–Sen), null without two
        different coordinates.
    """
    if not (images := list(images)):
        return None
    readings = [_read_as(image) for image in images]
    overlaps = [_overlaps(*pair) for pair in zip(images, readings, strict=True)]
    ious = np.array([[_mean_iou(frame) for frame in overlap] for overlap in overlaps])
    pairs = [_matched_boxes(*pair) for pair in zip(images, overlaps, strict=True)]
    relative = [p / np.array([*i.size, *i.size]) for p, i in zip(pairs, images, strict=True)]
    by_size: dict[tuple[Size, Size], list[int]] = defaultdict(list)
    for number, image in enumerate(images):
        by_size[image.size, image.processed].append(number)
    frequent = sorted(by_size.items(), key=lambda item: (-len(item[1]), item[0]))
    return {
        "images": len(images),
        "iou": dict(zip(FRAMES, ious.mean(axis=0).tolist(), strict=True)),
        **_named(images, readings, ious),
        "all": _fit(relative),
        "sizes": [
            _size(*sizes, ious[members], [pairs[i] for i in members])
            for sizes, members in frequent[:MOST_SIZES]
        ],
    }


def _named(images: Sequence[Image], readings: list[np.ndarray], ious: np.ndarray) -> dict:
    """Return ``best``, ``certainty`` and ``alike``; the last may name frames that nobody uses."""
    best = int(ious.mean(axis=0).argmax())
    apart = [
        i
        for i in range(len(FRAMES))
        if any(not np.allclose(boxes[i], boxes[best], atol=0.5) for boxes in readings)
    ]
    rivals = np.column_stack([ious[:, apart], _of_other_images(images, readings, best)])
    lead = ious[:, [best]] - rivals
    manuals = [number if i.manual is None else i.manual for number, i in enumerate(images)]
    _, owners = np.unique([str(manual) for manual in manuals], return_inverse=True)
    sums = np.zeros((owners.max() + 1, lead.shape[1]))
    np.add.at(sums, owners, lead)
    rng = generator(0, "frame", str(len(images)))
    drawn = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), RESAMPLES) @ sums
    certainty = float((drawn > 1e-9).all(axis=1).mean())
    alike = [frame for i, frame in enumerate(FRAMES) if i not in (best, *apart)]
    return {
        "best": FRAMES[best] if certainty >= SURE else None,
        "certainty": certainty,
        "alike": alike,
    }


def _of_other_images(images: Sequence[Image], readings: list[np.ndarray], frame: int) -> np.ndarray:
    """Return the IoU (images,) of each image's true boxes with the next image's predictions."""
    ious = []
    for at, image in enumerate(images):
        other = (at + 1) % len(images)
        scale = np.divide(image.size, images[other].size)
        boxes = readings[other][frame] * np.array([*scale, *scale])
        ious.append(_mean_iou(iou_matrix(boxes, [item.box for item in image.true])))
    return np.array(ious)


def _read_as(image: Image) -> np.ndarray:
    """Return the predicted boxes (``FRAMES``, n, 4) in pixels of the original, read as each."""
    said = np.array([item.box for item in image.predicted], dtype=float).reshape(-1, 4)
    x, y, w, h = said.T
    orders = {"": said, "_yx": said[:, [1, 0, 3, 2]], "_xywh": np.stack([x, y, x + w, y + h], 1)}
    wholes = {unit: whole(image.size, image.processed) for unit, whole in UNITS.items()}
    scales = {unit: np.tile(np.divide(image.size, whole), 2) for unit, whole in wholes.items()}
    return np.stack([orders[order] * scales[unit] for unit, order in READINGS])


def _overlaps(image: Image, readings: np.ndarray) -> np.ndarray:
    """Return the IoUs (``FRAMES``, predicted, true)."""
    true = [item.box for item in image.true]
    return iou_matrix(readings.reshape(-1, 4), true).reshape(*readings.shape[:2], len(true))


def _mean_iou(overlap: np.ndarray) -> float:
    if not max(overlap.shape):
        return 1.0
    return float(overlap[match(overlap)].sum()) / max(overlap.shape)


def _matched_boxes(image: Image, overlaps: np.ndarray) -> np.ndarray:
    """Return (pairs, 2, 4): the boxes (predicted, true) that stand for the same object.

    The frame is what is asked for, so the matching may not presume it: equal labels count first,
    and among them the IoU in whichever frame suits the pair. Pairs with neither are left out.
    """
    gain = agreement(image.predicted, image.true) + np.max(overlaps, axis=0)
    pairs: list[tuple[Box, Box]] = [
        (image.predicted[i].box, image.true[j].box)
        for i, j in np.transpose(match(gain))
        if gain[i, j] > 0
    ]
    return np.array(pairs, dtype=float).reshape(-1, 2, 4)


def _size(
    size: Size, processed: Size, ious: np.ndarray, pairs: list[np.ndarray]
) -> dict[str, object]:
    means = ious.mean(axis=0)
    best = [frame for frame, iou in zip(FRAMES, means, strict=True) if iou == means.max()]
    return {
        "width": size[0],
        "height": size[1],
        "processed_width": processed[0],
        "processed_height": processed[1],
        "images": len(pairs),
        "best": best[0] if len(best) < len(FRAMES) else None,
        "iou": float(means.max()),
        "expected": {axis: processed[i] / size[i] for i, axis in enumerate("xy")},
        **_fit(pairs),
    }


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
