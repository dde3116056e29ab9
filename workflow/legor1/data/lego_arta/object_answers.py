"""The answers of the object task as the dataset writes them, in either form and either frame."""

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple

from legor1.core.boxes import PERCENT, Box, Size, as_json, rescale
from legor1.core.errors import UserError
from legor1.core.files import Rejected
from legor1.data.lego_arta.dialogues import Dialogue, storable

Frame = Literal["pixels", "percent"]

NOT_UNDERSTOOD, OUTSIDE = "answer not understood", "box outside its frame"
ROUNDING = 1  # pixels that a box may lie over the edge of its image
MOST_ODD = 0.1  # share of answers that may fit no frame: more is not noise, but another frame
MOST_STRAY = 0.01  # the same of answers that fit the other frame alone, though always one
# On images this large, answers of pixels alone seldom have all coordinates within 100: a quarter
# of such answers, and no fewer than five, are a second frame.
LARGE, MOST_SMALL, FEWEST_SMALL = 300, 0.25, 5

_NUMBER = r"\s*(-?\d{1,9}(?:\.\d{1,9})?)\s*"
_OLD = re.compile(r"<p>(.*?)</p>\s*\{" + rf"<{_NUMBER}>" * 4 + r"\}", re.DOTALL)


class Objects(NamedTuple):
    """The labelled boxes of one answer, in the dataset's own frame."""

    labels: tuple[str, ...]
    boxes: tuple[Box, ...]
    percent: bool  # whether it has the old form, whose frame is [0, 100]; else it is measured


def parse(answer: str) -> Objects:
    """Read an answer in the old form (``<p>label</p> {<x1><y1><x2><y2>}``) or the new (a list).

    ``Rejected`` if it has neither form, no box, an impossible box, or the label ``ImageContent``.
    """
    old = _OLD.findall(answer)
    if old and len(old) != answer.count("<p>"):
        raise Rejected(NOT_UNDERSTOOD)
    pairs: list[tuple[str, object]] = [(label, [*map(_number, box)]) for label, *box in old]
    pairs = pairs or [_pair(item) for item in _literal(answer)]
    if not pairs:
        raise Rejected("no box in the answer")
    labels = tuple(storable(label).strip() for label, _ in pairs)
    if "ImageContent" in labels:
        raise Rejected("label ImageContent")
    return Objects(labels, tuple(_box(box) for _, box in pairs), percent=bool(old))


class Measure(NamedTuple):
    """What the answers in the new form share."""

    frame: Frame | None = None
    answers: int = 0
    largest: float = 0.0  # coordinate of the answers that fit the frame
    filled: float = 0.0  # the same as a share of the image's width or height


class Extent:
    """How far the boxes of an answer reach; ``source`` is named in errors.

    ``within`` both [0, 100] and the image, ``above`` 100, ``outside`` the image, or in ``neither``.
    """

    def __init__(self, objects: Objects, size: Size, source: Dialogue) -> None:
        right, low = (max(box[side] for box in objects.boxes) for side in (2, 3))
        self.largest, self.filled = max(right, low), max(right / size[0], low / size[1])
        self.above, self.large = self.largest > 100, min(size) >= LARGE
        outside = right > size[0] + ROUNDING or low > size[1] + ROUNDING
        self.kind = ("within", "above", "outside", "neither")[self.above + 2 * outside]
        self.text = (
            f"{source.file}, row {source.position} has a box up to ({right:g}, {low:g}) "
            f"in an image of {size[0]} x {size[1]} pixels"
        )


def measure(answers: Iterable[tuple[Objects, Size, Dialogue]]) -> Measure:
    """Return the frame that all answers in the new form share, None if there is no such answer.

    A coordinate above 100 speaks for pixels, one outside its image for [0, 100]. Where
    neither occurs, it is the frame that the largest coordinate fills better. A few stray
    answers do not count; a UserError says that no frame fits the others.
    """
    extents = [Extent(*answer) for answer in answers if not answer[0].percent]
    frame = _settle(extents)
    kinds = ("within", "above" if frame == "pixels" else "outside")
    fitting = [extent for extent in extents if extent.kind in kinds]
    return Measure(frame if fitting else None, len(extents), *_most(fitting))


def _settle(extents: list[Extent]) -> Frame:
    first = {extent.kind: extent.text for extent in reversed(extents)}
    counts = Counter(extent.kind for extent in extents)
    above, outside, odd = (counts[kind] for kind in ("above", "outside", "neither"))
    if odd > MOST_ODD * len(extents):
        raise _mixture(f"{odd} of {len(extents)} fit neither, such as {first['neither']}")
    few, stray = max(1, MOST_STRAY * len(extents)), min(above, outside)
    if stray > few or (stray and stray + odd > MOST_ODD * len(extents)):
        raise _mixture(f"{first['above']}, so not [0, 100]; {first['outside']}, so not pixels")
    large = [extent for extent in extents if extent.large]
    small = sum(not extent.above for extent in large)
    if above > outside and small >= max(FEWEST_SMALL, MOST_SMALL * len(large)):
        if above <= few and small >= (1 - MOST_ODD) * len(large):
            return "percent"
        raise _mixture(
            f"{first['above']}, so not [0, 100]; but in {small} of {len(large)} answers "
            "on large images no coordinate exceeds 100"
        )
    if above != outside:
        return "pixels" if above > outside else "percent"
    largest, filled = _most([extent for extent in extents if extent.kind == "within"])
    return "percent" if largest / 100 >= filled else "pixels"


def _most(extents: list[Extent]) -> tuple[float, float]:
    """Return the largest coordinate, and the largest share of an image."""
    largest, filled = [e.largest for e in extents], [e.filled for e in extents]
    return max(largest, default=0.0), max(filled, default=0.0)


def _mixture(why: str) -> UserError:
    return UserError(
        f"The boxes share no coordinate frame: {why}. "
        "Remedy: write all boxes in pixels of the original image, or all in [0, 100]."
    )


def canonical(objects: Objects, size: Size, frame: Frame | None) -> str:
    """Return the answer as JSON text, boxes in whole pixels of the original image of ``size``.

    ``Rejected`` if a box lies outside its frame, or is empty once rounded.
    """
    width, height = size
    percent = objects.percent or frame == "percent"
    right, low = PERCENT if percent else (width + ROUNDING, height + ROUNDING)
    boxes = []
    for box in objects.boxes:
        if box[2] > right or box[3] > low:
            raise Rejected(OUTSIDE)
        x1, y1, x2, y2 = map(round, rescale(box, PERCENT, size) if percent else box)
        x2, y2 = min(x2, width), min(y2, height)
        if x1 >= x2 or y1 >= y2:
            raise Rejected("empty box")
        boxes.append((x1, y1, x2, y2))
    return as_json(boxes, objects.labels)


def _number(text: str) -> float:
    return float(text) if "." in text else int(text)


def _literal(answer: str) -> list:
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(answer)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        if isinstance(value, list):
            return value
    raise Rejected(NOT_UNDERSTOOD)


def _pair(item: object) -> tuple[str, object]:
    if isinstance(item, dict) and isinstance(label := item.get("label"), str):
        return label, item.get("bbox_2d")
    raise Rejected(NOT_UNDERSTOOD)


def _box(value: object) -> Box:
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise Rejected(NOT_UNDERSTOOD)
    if not all(type(number) in (int, float) and abs(number) < 1e9 for number in value):
        raise Rejected(NOT_UNDERSTOOD)
    x1, y1, x2, y2 = value
    if min(x1, y1) < 0:
        raise Rejected(OUTSIDE)
    if x1 >= x2 or y1 >= y2:
        raise Rejected("empty box")
    return x1, y1, x2, y2
