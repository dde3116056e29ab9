"""An example's image: read from the dataset tree, embedded as JPEG, with its boxes drawn on it."""

import base64
import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from legor1.core.errors import UserError
from legor1.core.images import open_image
from legor1.core.tree_paths import Rejected, locate
from legor1.report import svg
from legor1.report.study import Experiment
from legor1.report.svg import tag
from legor1.tasks.parsing import Detection

if TYPE_CHECKING:
    from PIL.Image import Image

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
        return self._picture("The image", "What the model was asked about.")

    def solved(self, true: list[Detection]) -> Markup:
        """Return the image with its true boxes, too small for numbers."""
        boxes = [self._box(item, kind) for kind in ("casing", "box true") for item in true]
        return self._picture("A demonstration’s image", f"Its boxes: {_list(true)}.", *boxes)

    def compare(
        self, true: list[Detection], predicted: list[Detection], experiment: Experiment
    ) -> Markup:
        """Return the image with its true boxes (numbered) and the predicted ones (lettered)."""
        shade = f"predicted {svg.colour(experiment.index)}"
        shown = [(item, "true", digit(i)) for i, item in enumerate(true[:MOST_BOXES])]
        shown += [(item, shade, letter(i)) for i, item in enumerate(predicted[:MOST_BOXES])]
        # In this order a true line shows in the gaps of a dashed one that hits it exactly.
        drawn = [self._box(item, "casing") for item, _, _ in shown]
        drawn += [self._box(item, f"box {kind}") for item, kind, _ in shown]
        drawn += [self._tag(item, text, kind) for item, kind, text in shown]
        title = f"Answer of {experiment.name}"
        listed = f"True boxes: {_list(true)}. Predicted boxes: {_list(predicted)}."
        return self._picture(title, listed, *drawn)

    def _picture(self, title: str, description: str, *children: Markup) -> Markup:
        self.drawn += 1
        ident = f"{self.anchor}-{self.drawn}"
        parts = [self._image(), *children]
        return svg.picture(ident, self.size, title, description, *parts, kind="scene")

    def _image(self) -> Markup:
        """Return the image itself the first time, a reference to it from then on."""
        width, height = self.size
        if self.href is None:
            blank = tag("rect", width=width, height=height, class_="blank")
            x, y, size = width / 2, height / 2, 14 * self.unit
            text = "image not available"
            return blank + tag("text", text, class_="middle", x=x, y=y, font_size=size)
        ident = f"{self.anchor}-image"
        if self.drawn > 1:
            return tag("use", href=f"#{ident}")
        fit = {"width": width, "height": height, "preserveAspectRatio": "none"}
        return tag("image", id=ident, href=self.href, **fit)

    def _box(self, item: Detection, kind: str) -> Markup:
        x1, y1, x2, y2 = self._visible(item)
        return tag("rect", x=x1, y=y1, width=x2 - x1, height=y2 - y1, class_=kind)

    def _tag(self, item: Detection, text: str, kind: str) -> Markup:
        """Return a box's tag: at its upper left corner if true, lower right if predicted."""
        radius = 9 * self.unit
        x1, y1, x2, y2 = self._visible(item)
        x, y = (x1, y1) if kind == "true" else (x2, y2)
        x, y = (
            min(max(value, radius), max(side - radius, radius))
            for value, side in zip((x, y), self.size, strict=True)
        )
        disc = tag("circle", cx=x, cy=y, r=radius, class_=f"tag {kind}")
        y, size = y + 4 * self.unit, 11.5 * self.unit
        return disc + tag("text", text, x=x, y=y, class_="tag-text", font_size=size)

    def _visible(self, item: Detection) -> tuple[float, float, float, float]:
        """Return the box with its corners in order, cut off well outside of the image."""
        width, height = self.size
        x1, x2 = sorted(min(max(x, -width), 2.0 * width) for x in item.box[0::2])
        y1, y2 = sorted(min(max(y, -height), 2.0 * height) for y in item.box[1::2])
        return x1, y1, x2, y2


def _list(items: list[Detection]) -> str:
    return ", ".join(item.label or "no label" for item in items[:MOST_BOXES]) or "none"


def read(tree: Path, name: str) -> "Image | None":
    """Return the image of this path below the dataset tree; None if there is none, or a bad one."""
    try:
        return open_image(locate(tree.resolve(), name))
    except (Rejected, UserError):
        return None


def embedded(image: "Image | None", side: int = LONG_SIDE) -> str | None:
    """Return the image as a data URI, ``side`` pixels long at most; None of none."""
    if image is None:
        return None
    return "data:image/jpeg;base64," + base64.b64encode(_jpeg(image, side)).decode("ascii")


def write_large(image: "Image | None", folder: Path) -> str:
    """Write the image into a folder, named by its content; return the name, "" for a small one."""
    if image is None or max(image.size) <= LONG_SIDE:
        return ""
    content = _jpeg(image, LARGE_SIDE)
    name = f"{hashlib.sha256(content).hexdigest()[:16]}.jpg"
    (folder / name).write_bytes(content)
    return name


def _jpeg(image: "Image", side: int) -> bytes:
    from PIL import Image

    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return buffer.getvalue()
