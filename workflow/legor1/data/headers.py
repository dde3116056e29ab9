"""The size of an untrusted image, from as few bytes as will do.

Of a sound PNG or JPEG the first kilobyte tells the size and the last bytes tell that it is whole.
Any other image is decoded by Pillow, which is slow but sure. The content decides what an image is,
not its suffix: Pillow, which reads the images in training, sees it so too.
"""

import os
import struct
import warnings
import zlib

from legor1.boxes import MAX_ASPECT, Size
from legor1.data.tree import FORMATS, Rejected

MAX_PIXELS = 89_478_485  # beyond this Pillow warns of a decompression bomb
HEAD, TAIL = 1024, 12  # bytes
_PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
# The frame headers SOF0 to SOF15; the others among them are tables.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SEGMENTS = frozenset(range(0xC0, 0xFF)) - frozenset(range(0xD0, 0xDA))


def image_size(descriptor: int, length: int) -> Size:
    """Return (width, height) in pixels of the image in an open file of ``length`` bytes.

    Raises:
        Rejected: the file is no image or not a whole one, claims more pixels than is safe to
            decode, or is too elongated for the model's processor.
    """
    head = os.pread(descriptor, HEAD, 0)
    tail = head[-TAIL:] if length <= HEAD else os.pread(descriptor, TAIL, length - TAIL)
    size = _png(head, tail) or _jpeg(head, tail) or _decode(descriptor)
    _check(size)
    return size


def _png(head: bytes, tail: bytes) -> Size | None:
    if not head.startswith(_PNG_START) or tail != _PNG_END:
        return None
    if zlib.crc32(head[12:29]) != int.from_bytes(head[29:33], "big"):
        return None
    return struct.unpack_from(">II", head, 16)


def _jpeg(head: bytes, tail: bytes) -> Size | None:
    if not head.startswith(_JPEG_START) or not tail.endswith(_JPEG_END):
        return None
    position = 2
    while position + 9 <= len(head) and head[position] == 0xFF:
        marker = head[position + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", head, position + 5)
            return width, height
        if marker not in _JPEG_SEGMENTS:
            return None
        position += 2 + int.from_bytes(head[position + 2 : position + 4], "big")
    return None


def _decode(descriptor: int) -> Size:
    from PIL import Image

    try:
        with warnings.catch_warnings(), os.fdopen(descriptor, "rb", closefd=False) as file:
            warnings.simplefilter("ignore")
            file.seek(0)
            with Image.open(file, formats=FORMATS) as image:
                _check(image.size)
                image.load()
                return image.size
    except Image.DecompressionBombError as error:
        raise Rejected("image too large") from error
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
        raise Rejected("image unreadable") from error


def _check(size: Size) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise Rejected("image too large")
    if not width or not height or max(size) > min(size) * MAX_ASPECT:
        raise Rejected("image too elongated")
