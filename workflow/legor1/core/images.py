"""Images as every stage sees them: upright, in RGB, on white.

Nothing else decodes an image of a dataset, so that a model is tested on what it was trained on:

- turned as its EXIF orientation says, as viewers and annotation tools show it; its size, and the
  frame of its boxes, are those of the upright image;
- 16 bits a channel scaled to 8, not cut off at 255;
- transparent parts on white, as paper is.

Of a PNG or JPEG the header tells the size and the last bytes tell that it is whole, so that an
index need not decode it. The content decides what an image is, not its suffix.
"""

import contextlib
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from legor1.core.boxes import MAX_ASPECT, Size
from legor1.core.errors import UserError
from legor1.core.files import Rejected

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")  # that are opened
MAX_PIXELS = 89_478_485  # beyond this Pillow warns of a decompression bomb
ENDS = {"PNG": b"\0\0\0\0IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}  # of a whole file
# Where an orientation may stand, by Pillow's names.
TURNS = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif", "Raw profile type xmp"}


def open_image(path: Path) -> "Image":
    """Return the image at ``path``, upright and in RGB; a UserError names an unreadable file."""
    try:
        with path.open("rb") as file:
            return decode(file)[0]
    except (OSError, Rejected) as error:
        raise UserError(
            f"{path} cannot be read as an image: {error}. "
            "Remedy: mend or remove it, and index the dataset again."
        ) from error


def decode(file: BinaryIO) -> "tuple[Image, bool]":
    """Return the image in an open file, of an animation the first frame, upright and in RGB.

    And whether every reader sees these pixels, whatever it makes of orientation, alpha and 16 bits.
    Raises as ``image_size``.
    """
    from PIL import ExifTags, ImageOps

    with _opened(file) as image:
        image.load()
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        ImageOps.exif_transpose(image, in_place=True)
        clear, deep = image.has_transparency_data, image.mode.startswith("I")
        plain = not (turned or clear or deep or image.mode == "CMYK")
        return _rgb(image), plain


@contextlib.contextmanager
def _opened(file: BinaryIO) -> "Iterator[ImageFile]":
    """Yield the image, of which the header alone has been read; what goes wrong is ``Rejected``."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=FORMATS) as image:
                _check(image.size)
                yield image
    except (Rejected, MemoryError):  # memory is the machine's, not the image's
        raise
    except Image.DecompressionBombError as error:
        raise Rejected("image too large") from error
    except Exception as error:  # whatever Pillow's parsers trip over in a broken file
        raise Rejected("image unreadable") from error


def image_size(file: BinaryIO) -> Size:
    """Return (width, height) in pixels of the upright image in an open file.

    ``Rejected`` if it is no whole image, claims more pixels than is safe to decode, or is too
    elongated for the model's processor.
    """
    with _opened(file) as image:
        end = ENDS.get(image.format or "")
        if end and TURNS.isdisjoint(image.info):
            file.seek(-len(end), os.SEEK_END)
            if file.read() == end:
                return image.size
    return decode(file)[0].size


def _rgb(image: "Image") -> "Image":
    from PIL import Image

    if image.mode.startswith("I"):
        if image.has_transparency_data:
            raise Rejected("transparent image of 16 bits")
        image = image.convert("I").point(lambda level: level * (1 / 257) + 0.5).convert("L")
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return image.convert("RGB")


def _check(size: Size) -> None:
    if math.prod(size) > MAX_PIXELS:
        raise Rejected("image too large")
    if not min(size) or max(size) > min(size) * MAX_ASPECT:
        raise Rejected("image too elongated")
