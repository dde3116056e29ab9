"""Boxes, and the frames in which a model may be shown them (``FRAMES``).

A box is ``(x1, y1, x2, y2)``: left, top, right, bottom, in pixels of the *original* image. A model
reads and writes others, such as pixels of the image *after* the processor has resized it: what it
is shown, and what it says, is converted here.
"""

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

MAX_ASPECT = 200  # the processor refuses images more elongated than this
# processed: the model family's own, such as pixels of the image that it sees. original: numbers of
# the image before it was resized (the defect frame_mismatch). percent: <p>label</p>
# {<x1><y1><x2><y2>} in [0, 100]. percent_json: a JSON list in [0, 100], as a file may have it
# (frame_mismatch again).
FRAMES = ("processed", "original", "percent", "percent_json")
# What stands for the image's width and height where boxes are in parts of its sides.
SCALES = {"thousandths": (1000, 1000), "percent": (100, 100), "fractions": (1, 1)}
PERCENT = SCALES["percent"]

Box = tuple[float, float, float, float]
Boxes = Sequence[Sequence[float]] | np.ndarray  # (n, 4)
Size = tuple[int, int]  # (width, height) in pixels
Sides = tuple[float, float]  # the same in other units

_NUMBER = r"\s*([-+]?\d{1,9}(?:\.\d{0,30})?(?:[eE][-+]?\d)?)\s*"
_FOUR_NUMBERS = re.compile(r"[\[(]" + ",".join([_NUMBER] * 4) + r",?\s*[\])]")
_TAG = re.compile(r"<p>([^<]*)</p>\s*\{\s*" + r"\s*".join([f"<{_NUMBER}>"] * 4) + r"\s*\}")
_TAGS = re.compile(rf"{_TAG.pattern}(?:[\s,;]*{_TAG.pattern})*")


@dataclass(frozen=True)
class PixelBudget:
    """How many pixels a processed image may have; decides every image's processed size."""

    min_pixels: int
    max_pixels: int
    factor: int  # side in pixels of the square of the processed image that a visual token covers
    box_scale: int | None = None  # boxes are in [0, box_scale]; None: in pixels of that image

    @property
    def max_tokens(self) -> int:
        """Visual tokens of the largest image."""
        return self.max_pixels // self.factor**2

    def processed_size(self, size: Size) -> Size:
        """Return the (width, height) that the processor resizes an image of ``size`` to.

        Both sides become multiples of ``factor`` and their product lies within the budget, with the
        aspect ratio kept as nearly as that allows (the rule of Qwen's image processors); a
        ValueError says that the image is too elongated for it.
        """
        (width, height), factor = size, self.factor
        if min(size) <= 0 or max(size) / min(size) > MAX_ASPECT:
            raise ValueError(f"an image of {width} x {height} pixels cannot be processed")
        w, h = (round(side / factor) * factor for side in size)
        if w * h > self.max_pixels:
            shrink = math.sqrt(width * height / self.max_pixels)
            w, h = (max(factor, math.floor(s / shrink / factor) * factor) for s in size)
        elif w * h < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (width * height))
            w, h = (math.ceil(s * grow / factor) * factor for s in size)
        return w, h

    def visual_tokens(self, size: Size) -> int:
        """Return how many tokens an image of ``size`` takes in the prompt."""
        width, height = self.processed_size(size)
        return width * height // self.factor**2


def rescale(box: Sequence[float], source: Sides, target: Size) -> Box:
    """Convert a box from the frame of ``source`` (width, height) to that of ``target``."""
    x, y = target[0] / source[0], target[1] / source[1]
    x1, y1, x2, y2 = box
    return x1 * x, y1 * y, x2 * x, y2 * y


def rescale_text(text: str, source: Sides, target: Size) -> str:
    """Convert every ``[x1, y1, x2, y2]`` inside ``text``, rounded to whole pixels.

    Round brackets and a trailing comma are read too, since a lenient parser takes such a box. All
    else stays as it is, so that an answer that was malformed is malformed still.
    """

    def convert(match: re.Match[str]) -> str:
        box = rescale([float(group) for group in match.groups()], source, target)
        inside = ", ".join(str(round(value)) for value in box)
        return f"{match[0][0]}{inside}{match[0][-1]}"

    return _FOUR_NUMBERS.sub(convert, text)


def taken_out(text: str, stand_in: str) -> tuple[str, list[list[float]]]:
    """Return ``text`` with ``stand_in`` for every box in it, and the boxes in their order."""
    found = [[float(side) for side in match.groups()] for match in _FOUR_NUMBERS.finditer(text)]
    return _FOUR_NUMBERS.sub(stand_in, text), found


def to_shown(text: str, size: Size, budget: PixelBudget, frame: str = "processed") -> str:
    """Convert the boxes in an answer from pixels of the original image of ``size`` to ``frame``.

    They stand there as a JSON list. ``budget`` decides the size of the image that the model sees.
    """
    if frame == "original":
        return text
    if frame == "percent":
        return to_percent(text, size)
    return rescale_text(text, size, shown_size(size, budget, frame))


def to_original(text: str, size: Size, budget: PixelBudget, frame: str = "processed") -> str:
    """Convert the boxes in ``text`` from ``frame`` to pixels of the original image of ``size``.

    The inverse of ``to_shown``, but for rounding. All that is no box stays as it is.
    """
    if frame == "original":
        return text
    if frame == "percent":
        return _TAGS.sub(lambda match: _from_tags(match[0], size), text)
    return rescale_text(text, shown_size(size, budget, frame), size)


def shown_size(size: Size, budget: PixelBudget, frame: str) -> Size:
    """Return the (width, height) in whose units boxes are shown as JSON in ``frame``."""
    if frame == "original":
        return size
    if frame == "percent_json":
        return PERCENT
    return (budget.box_scale,) * 2 if budget.box_scale else budget.processed_size(size)


def to_percent(text: str, size: Size) -> str:
    """Return an answer with its JSON boxes in pixels of ``size``, if any, as tags in [0, 100]."""
    start, end = text.find("["), text.rfind("]") + 1
    try:
        items = json.loads(text[start:end])
        pairs = [(item["label"], rescale(item["bbox_2d"], size, PERCENT)) for item in items]
    except (ValueError, TypeError, KeyError):
        return text
    tags = [
        f"<p>{label}</p> {{{''.join(f'<{round(value)}>' for value in box)}}}"
        for label, box in pairs
    ]
    return text[:start] + " ".join(tags) + text[end:] if tags else text


def _from_tags(text: str, size: Size) -> str:
    found = _TAG.findall(text)
    boxes = [rescale([float(number) for number in box], PERCENT, size) for _, *box in found]
    return as_json([[*map(round, box)] for box in boxes], [label for label, *_ in found])


def as_json(boxes: Iterable[Sequence[float]], labels: Iterable[str]) -> str:
    """Return boxes and their labels as the JSON list that an answer of the object task is."""
    items = [{"bbox_2d": [*box], "label": label} for box, label in zip(boxes, labels, strict=True)]
    return json.dumps(items, ensure_ascii=False)


def iou_matrix(a: Boxes, b: Boxes) -> np.ndarray:
    """Return the (len(a), len(b)) intersections over unions; an empty union gives 0.

    An inverted or empty box (x2 <= x1 or y2 <= y1) overlaps nothing.
    """
    first = np.asarray(a, dtype=float).reshape(-1, 1, 4)
    second = np.asarray(b, dtype=float).reshape(1, -1, 4)
    size = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    intersection = size.clip(min=0).prod(axis=-1)
    areas = [(box[..., 2:] - box[..., :2]).clip(min=0).prod(axis=-1) for box in (first, second)]
    union = areas[0] + areas[1] - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
