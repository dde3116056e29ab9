"""What each visual token shows, as labels for a throwaway head.

A vision tower that is trained through the language model alone stays blind for long; dense labels
of colour, size, kind and place make it see within minutes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from legor1.core.boxes import Size
from legor1.data.synthetic.bricks import KINDS, Point
from legor1.data.synthetic.looks import COLOURS
from legor1.data.synthetic.wording import SIZES, Part
from legor1.models.registry import DEFAULT
from legor1.training.base.label_head import UNKNOWN

TOKEN = DEFAULT.factor  # pixels of the processed image along a side of a token
FINE = 7  # points along a token's side at which is looked
CLASSES = {
    "colour": len(COLOURS) + 1,
    "size": len(SIZES),
    "kind": len(KINDS),
    "added": 2,
    "count": 4,
}
MEASURES = {"box": 4, "place": 3}  # offsets from the token's middle in tokens; board coordinates
WIDTH = len(CLASSES) + sum(MEASURES.values())


@dataclass(frozen=True)
class Area:
    """A part of a picture in pixels of the processed image, and the part or brick that it shows."""

    outline: Sequence[Point]
    box: Sequence[float]
    part: Part
    added: bool = False
    place: tuple[float, float, float] | None = None  # x, y, z from -1 to 1; a call-out has none

    @classmethod
    def of_box(cls, box: Sequence[float], part: Part) -> "Area":
        """Return the area of a part in a call-out."""
        x1, y1, x2, y2 = box
        return cls([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], box, part)

    def labels(self, middle: Point) -> list[float]:
        """Return the labels of a token with that middle: classes, then measures."""
        part = self.part
        size = SIZES.index((min(part.size), max(part.size)))
        classes = [COLOURS.index(part.colour), size, list(KINDS).index(part.kind), self.added]
        count = UNKNOWN if self.place else part.count - 1
        box = [(side - middle[i % 2]) / TOKEN for i, side in enumerate(self.box)]
        return [*classes, count, *box, *(self.place or [UNKNOWN] * 3)]


def label_tokens(size: Size, areas: Sequence[Area]) -> np.ndarray:
    """Return the labels (tokens, ``WIDTH``) of an image of processed ``size``, row by row.

    Each token is labelled with what it shows most of; ``areas`` lie from back to front. One that
    shows none of them has only a colour, the last.
    """
    columns, rows = size[0] // TOKEN, size[1] // TOKEN
    canvas = Image.new("L", (columns * FINE, rows * FINE))
    draw = ImageDraw.Draw(canvas)
    for number, area in enumerate(areas, 1):
        draw.polygon([(x * FINE / TOKEN, y * FINE / TOKEN) for x, y in area.outline], fill=number)
    points = np.asarray(canvas).reshape(rows, FINE, columns, FINE).swapaxes(1, 2)
    labels = np.full((rows * columns, WIDTH), UNKNOWN, dtype=np.float32)
    labels[:, 0] = len(COLOURS)
    for token, seen in enumerate(points.reshape(-1, FINE * FINE)):
        shares = np.bincount(seen, minlength=len(areas) + 1)[1:]
        if shares.size and shares.max() > FINE:  # more than an edge
            middle = ((token % columns + 0.5) * TOKEN, (token // columns + 0.5) * TOKEN)
            labels[token] = areas[int(shares.argmax())].labels(middle)
    return labels
