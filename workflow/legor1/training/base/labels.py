"""Labels beside the answers, and the throwaway heads that learn them, no part of the model.

What each visual token shows: a vision tower that is trained through the language model alone stays
blind for long; dense labels of colour, size, kind and place make it see within minutes.

What a yes-or-no question claims about a step: yes or no is one bit of a comparison of four
attributes, and a model that gets nothing else learns it late. The head learns at the token before
the answer what the new part is like, what is claimed, and which of it agrees.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional as F

from legor1.core.boxes import Size
from legor1.data.synthetic.bricks import KINDS, Point
from legor1.data.synthetic.looks import COLOURS
from legor1.data.synthetic.wording import SIZES, VALUES, Instruction, Part, Top, Value
from legor1.models.registry import DEFAULT

UNKNOWN = -100.0  # a label that there is none of
TOKEN = DEFAULT.factor  # pixels of the processed image along a side of a token
FINE = 7  # points along a token's side at which is looked
TOKEN_CLASSES = {
    "colour": len(COLOURS) + 1,
    "size": len(SIZES),
    "kind": len(KINDS),
    "added": 2,
    "count": 4,
}
MEASURES = {"box": 4, "place": 3}  # offsets from the token's middle in tokens; board coordinates
WIDTH = len(TOKEN_CLASSES) + sum(MEASURES.values())
COUNTS = {name: len(values) + (name == "place") for name, values in VALUES.items()}  # and on top
CLAIM_CLASSES = {
    **{f"shown_{name}": count for name, count in COUNTS.items()},
    **{f"told_{name}": count for name, count in COUNTS.items()},
    **{f"same_{name}": 2 for name in COUNTS},
}
NONE = (UNKNOWN,) * len(CLAIM_CLASSES)


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


def label_claim(shown: Instruction | None, claimed: Mapping[str, Value]) -> tuple[float, ...]:
    """Return the labels, one for each of ``CLAIM_CLASSES``.

    Args:
        shown: what was done; None if nothing was.
        claimed: what the question says was done, by attribute; it may leave some out.
    """
    done = {name: shown.value(name) for name in VALUES} if shown else {}
    same = (float(done.get(n) == claimed[n]) if n in claimed else UNKNOWN for n in VALUES)
    return (*_numbers(done), *_numbers(claimed), *same)


def _numbers(values: Mapping[str, Value]) -> list[float]:
    return [_number(name, values[name]) if name in values else UNKNOWN for name in VALUES]


def _number(name: str, value: Value) -> float:
    return float(len(VALUES[name]) if isinstance(value, Top) else VALUES[name].index(value))


class LabelHead(nn.Linear):
    """A linear layer from features to labels: ``classes``, then ``measures``.

    Args:
        hidden: width of the features.
        classes: how many values each class has.
        measures: how many numbers each measure has.
    """

    def __init__(
        self, hidden: int, classes: Mapping[str, int], measures: Mapping[str, int]
    ) -> None:
        super().__init__(hidden, sum(classes.values()) + sum(measures.values()))
        self.classes, self.measures = classes, measures

    def loss(self, features: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of features (n, hidden), and how often each class is right."""
        scores = self(features.float())
        # Without a label too the head has a gradient, as it has in the other processes.
        total, right = 0 * scores.sum(), {}
        pieces = scores.split([*self.classes.values(), *self.measures.values()], dim=1)
        columns = labels.split([1] * len(self.classes) + [*self.measures.values()], dim=1)
        names = (*self.classes, *self.measures)
        for name, score, true in zip(names, pieces, columns, strict=True):
            known = true[:, 0] != UNKNOWN
            if not known.any():
                continue
            score, true = score[known], true[known]
            if name in self.measures:
                total = total + F.smooth_l1_loss(score, true)
            else:
                total = total + F.cross_entropy(score, true[:, 0].long())
                right[name] = (score.argmax(1) == true[:, 0]).float().mean().item()
        return total, right
