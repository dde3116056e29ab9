"""The dataset's tree is untrusted: every path in it is checked here before a byte is read."""

import warnings
from pathlib import Path

from legor1.boxes import MAX_ASPECT

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
MISSING = "file missing"


class Rejected(Exception):
    """A row or file that cannot be used; the message is the reason, the same for all such rows."""


def locate(root: Path, relative: str) -> Path:
    """Return the regular file ``relative`` below ``root``, which must be a resolved path.

    Raises:
        Rejected: the path leaves the tree (by ``..``, by a symbolic link), or is no file.
    """
    try:
        path = (root / relative).resolve()
        if not path.is_relative_to(root):
            raise Rejected("path leaves the tree")
        if path.is_file():
            return path
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte, links in a circle
        pass
    raise Rejected(MISSING)


def image_size(path: Path) -> tuple[int, int]:
    """Return (width, height) in pixels, read from the image's header only.

    Raises:
        Rejected: the file is no image, claims more pixels than Pillow thinks safe to decode, or
            is too elongated for the model's processor.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                width, height = image.size
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise Rejected("image too large") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise Rejected("image unreadable") from error
    if not min(width, height) or max(width, height) / min(width, height) > MAX_ASPECT:
        raise Rejected("image too elongated")
    return width, height
