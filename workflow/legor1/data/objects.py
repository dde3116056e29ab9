"""The answers of the object task as the dataset writes them, in either form and either frame."""

import ast
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from legor1.boxes import Box, Size, rescale
from legor1.data.dialogues import storable
from legor1.data.tree import Rejected
from legor1.errors import UserError

Frame = Literal["pixels", "percent"]

_NUMBER = r"\s*(-?\d{1,9}(?:\.\d{1,9})?)\s*"
_OLD = re.compile(r"<p>(.*?)</p>\s*\{" + rf"<{_NUMBER}>" * 4 + r"\}", re.DOTALL)


@dataclass(frozen=True)
class Objects:
    """The labelled boxes of one answer, in the dataset's own frame.

    Attributes:
        percent: True for the old form, whose frame is [0, 100]; the new form's must be measured.
    """

    labels: tuple[str, ...]
    boxes: tuple[Box, ...]
    percent: bool


@dataclass(frozen=True)
class Measured:
    """One answer beside its image: what the frame is measured on."""

    objects: Objects
    size: Size
    where: str  # file and row, for errors


def parse(answer: str) -> Objects:
    """Read an answer in the old form (``<p>label</p> {<x1><y1><x2><y2>}``) or the new (a list).

    Raises:
        Rejected: neither form, no box, an impossible box, or the label ``ImageContent``.
    """
    old = _OLD.findall(answer)
    if old:
        if len(old) != answer.count("<p>"):
            raise Rejected("answer not understood")
        pairs = [(label, [float(number) for number in box]) for label, *box in old]
    else:
        pairs = [_pair(item) for item in _literal(answer)]
    if not pairs:
        raise Rejected("no box in the answer")
    labels = tuple(storable(label).strip() for label, _ in pairs)
    if "ImageContent" in labels:
        raise Rejected("label ImageContent")
    return Objects(labels, tuple(_box(box) for _, box in pairs), percent=bool(old))


def measure(answers: Iterable[Measured]) -> Frame | None:
    """Return the frame that all answers in the new form share, None if there are none.

    A coordinate above 100 speaks for pixels, one outside its image for [0, 100]. Where neither
    occurs, it is the frame that the largest coordinate fills better.

    Raises:
        UserError: both occur, so that no frame fits all rows.
    """
    largest = filled = 0.0
    above = outside = ""
    for answer in answers:
        if answer.objects.percent:
            continue
        width, height = answer.size
        for x1, y1, x2, y2 in answer.objects.boxes:
            largest = max(largest, x2, y2)
            filled = max(filled, x2 / width, y2 / height)
            if max(x2, y2) > 100:
                above = above or f"{answer.where} has {[x1, y1, x2, y2]}, so not [0, 100]"
            if x2 > width + 1 or y2 > height + 1:  # one pixel over the edge is rounding
                outside = outside or (
                    f"{answer.where} has {[x1, y1, x2, y2]} in an image of {width} x {height} "
                    "pixels, so not pixels"
                )
    if above and outside:
        raise UserError(
            f"The boxes share no coordinate frame: {above}; {outside}. "
            "Remedy: write all boxes in pixels of the original image, or all in [0, 100]."
        )
    if not largest:
        return None
    return "percent" if outside or (not above and largest / 100 >= filled) else "pixels"


def canonical(objects: Objects, size: Size, frame: Frame | None) -> str:
    """Return the answer as JSON text, boxes in whole pixels of the original image of ``size``.

    Raises:
        Rejected: a box lies outside its frame, or is empty once rounded.
    """
    percent = objects.percent or frame == "percent"
    items = []
    for label, box in zip(objects.labels, objects.boxes, strict=True):
        if percent and max(box) > 100:
            raise Rejected("box outside its frame")
        pixels = [round(value) for value in (rescale(box, (100, 100), size) if percent else box)]
        x1, y1, x2, y2 = (min(v, side) for v, side in zip(pixels, size * 2, strict=True))
        if x1 >= x2 or y1 >= y2:
            raise Rejected("empty box")
        items.append({"bbox_2d": [x1, y1, x2, y2], "label": label})
    return json.dumps(items, ensure_ascii=False)


def _literal(answer: str) -> list:
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(answer)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        if isinstance(value, list):
            return value
    raise Rejected("answer not understood")


def _pair(item: Any) -> tuple[str, Any]:
    if not isinstance(item, dict) or not isinstance(item.get("label"), str):
        raise Rejected("answer not understood")
    return item["label"], item.get("bbox_2d")


def _box(value: Any) -> Box:
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise Rejected("answer not understood")
    if not all(type(v) in (int, float) and abs(v) < 1e9 for v in value):
        raise Rejected("answer not understood")
    x1, y1, x2, y2 = (float(v) for v in value)
    if min(x1, y1) < 0:
        raise Rejected("box outside its frame")
    if x1 >= x2 or y1 >= y2:
        raise Rejected("empty box")
    return x1, y1, x2, y2
