"""Images of the dataset tree as JPEG: made anew, so that nothing but their pixels gets anywhere."""

import base64
import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from legor1.core.errors import UserError
from legor1.core.files import Rejected, locate
from legor1.core.images import open_image

if TYPE_CHECKING:
    from PIL.Image import Image

LONG_SIDE = 400  # pixels of an embedded image
SMALL_SIDE = 160  # of a demonstration's
LARGE_SIDE = 1600  # of one that lies beside the page, at most
QUALITY = 85


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
