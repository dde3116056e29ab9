"""An example's image: read from the dataset tree, embedded as JPEG, with its boxes drawn on it."""

import base64
import hashlib
import io
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup
from PIL import Image

from legor1.core.errors import UserError
from legor1.core.files import Rejected, locate
from legor1.core.images import open_image
from legor1.report import svg
from legor1.report.publishable import colour
from legor1.report.study import Experiment
from legor1.tasks.parsing import Detection

PANEL = 330  # pixels a panel is wide, about: sets the size of the tags
MOST_BOXES = 40  # a model may repeat itself without end
LONG_SIDE = 400  # pixels of an embedded image
SMALL_SIDE = 160  # of a demonstration's
LARGE_SIDE = 1600  # of one that lies beside the page, at most
QUALITY = 85


def digit(index: int) -> str:
    """Return 1, 2, … for 0, 1, …: true boxes."""
    return str(index + 1)


def letter(index: int) -> str:
    """Return a, b, … z, aa, ab, … for 0, 1, …: predicted boxes."""
    return (chr(96 + index // 26) if index >= 26 else "") + chr(97 + index % 26)


class Box(NamedTuple):
    """A box as it is drawn."""

    x: float
    y: float
    width: float
    height: float
    kind: str  # its class
    text: str  # of its tag
    at: tuple[float, float]  # the centre of its tag


class Scene:
    """An image, embedded once however often it is drawn on.

    ``href`` is a data URI, ``size`` that of the original in pixels, ``anchor`` unique in the page.
    """

    def __init__(self, href: str | None, size: tuple[int, int], anchor: str) -> None:
        self.anchor, self.href, self.drawn = anchor, href, 0
        self.size = max(1, int(size[0])), max(1, int(size[1]))
        width, height = self.size
        self.unit = max(width, height * 1.1) / PANEL  # a pixel of the page in pixels of the image

    def bare(self) -> Markup:
        """Return the image without boxes."""
        return self._picture("The image", "What the model was asked about.", [])

    def solved(self, true: list[Detection]) -> Markup:
        """Return the image with its true boxes, too small for numbers."""
        boxes = [self._box(item, "true") for item in true]
        return self._picture("A demonstration’s image", f"Its boxes: {_list(true)}.", boxes)

    def compare(
        self, true: list[Detection], predicted: list[Detection], experiment: Experiment
    ) -> Markup:
        """Return the image with its true boxes (numbered) and the predicted ones (lettered)."""
        shade = f"predicted {colour(experiment.index)}"
        boxes = [self._box(item, "true", digit(i)) for i, item in enumerate(true[:MOST_BOXES])]
        answered = enumerate(predicted[:MOST_BOXES])
        boxes += [self._box(item, shade, letter(i)) for i, item in answered]
        listed = f"True boxes: {_list(true)}. Predicted boxes: {_list(predicted)}."
        return self._picture(f"Answer of {experiment.name}", listed, boxes)

    def _picture(self, title: str, description: str, boxes: list[Box]) -> Markup:
        self.drawn += 1
        ident = f"{self.anchor}-{self.drawn}"
        return svg.chart("scene", ident, title, description, self, boxes, 9 * self.unit)

    def _box(self, item: Detection, kind: str, text: str = "") -> Box:
        """Return a box with its corners in order, cut off well outside of the image.

        Its tag lies at its upper left corner if it is true, lower right if predicted.
        """
        (width, height), radius = self.size, 9 * self.unit
        x1, x2 = sorted(min(max(x, -width), 2.0 * width) for x in item.box[0::2])
        y1, y2 = sorted(min(max(y, -height), 2.0 * height) for y in item.box[1::2])
        x, y = (x1, y1) if kind == "true" else (x2, y2)
        at_x, at_y = (
            min(max(value, radius), max(side - radius, radius))
            for value, side in ((x, width), (y, height))
        )
        return Box(x1, y1, x2 - x1, y2 - y1, kind, text, (at_x, at_y))


def _list(items: list[Detection]) -> str:
    return ", ".join(item.label or "no label" for item in items[:MOST_BOXES]) or "none"


def read(tree: Path, name: str) -> Image.Image | None:
    """Return the image of this path below the dataset tree; None if there is none, or a bad one."""
    try:
        return open_image(locate(tree.resolve(), name))
    except (Rejected, UserError):
        return None


def embedded(image: Image.Image | None, side: int = LONG_SIDE) -> str | None:
    """Return the image as a data URI, at most ``side`` pixels long; None if there is none."""
    if image is None:
        return None
    return "data:image/jpeg;base64," + base64.b64encode(_jpeg(image, side)).decode("ascii")


def write_large(image: Image.Image | None, folder: Path) -> str:
    """Write the image into a folder, named by its content; return the name, "" for a small one."""
    if image is None or max(image.size) <= LONG_SIDE:
        return ""
    content = _jpeg(image, LARGE_SIDE)
    name = f"{hashlib.sha256(content).hexdigest()[:16]}.jpg"
    (folder / name).write_bytes(content)
    return name


def _jpeg(image: Image.Image, side: int) -> bytes:
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return buffer.getvalue()
