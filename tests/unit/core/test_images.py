"""Image sizes from untrusted files: whole ones of any suffix are taken, broken ones are not."""

import io
import struct
import zlib

import pytest
from PIL import Image

from legor1.core import images
from legor1.core.files import Rejected
from legor1.core.images import image_size

FORMATS = ["PNG", "JPEG", "WEBP", "BMP", "GIF"]


def encoded(format: str, size=(40, 30), **settings) -> bytes:
    stream = io.BytesIO()
    Image.effect_noise(size, 60).save(stream, format, **settings)
    return stream.getvalue()


def size_of(data: bytes, tmp_path) -> tuple[int, int]:
    path = tmp_path / "image.png"  # the suffix says nothing
    path.write_bytes(data)
    with path.open("rb") as file:
        return image_size(file)


@pytest.mark.parametrize("size", [(40, 30), (300, 200)])
@pytest.mark.parametrize("format", FORMATS)
def test_the_content_decides_not_the_suffix(format, size, tmp_path):
    assert size_of(encoded(format, size), tmp_path) == size


@pytest.mark.parametrize("left", [0, 1, 10, 0.5, 0.9, -60])
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_a_truncated_image_is_noticed(format, left, tmp_path):
    data = encoded(format, (300, 200))
    end = left if isinstance(left, int) else int(len(data) * left)
    with pytest.raises(Rejected, match="image unreadable"):
        size_of(data[:end], tmp_path)


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_whole_pngs_and_jpegs_are_not_decoded(format, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "decode", None)
    assert size_of(encoded(format), tmp_path) == (40, 30)


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_bytes_after_the_end_do_no_harm(format, tmp_path):
    assert size_of(encoded(format) + b"more", tmp_path) == (40, 30)


def test_a_long_header_is_read(tmp_path):
    data = encoded("JPEG", exif=b"Exif\0\0" + bytes(3000))
    assert size_of(data, tmp_path) == (40, 30)


def test_progressive_jpegs_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "decode", None)
    assert size_of(encoded("JPEG", progressive=True), tmp_path) == (40, 30)


def png(width: int, height: int) -> bytes:
    """Return a PNG that claims a size, and has no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@pytest.mark.parametrize("suffix", [b"", b"x"])
def test_a_bomb_is_never_decoded(suffix, tmp_path):
    with pytest.raises(Rejected, match="image too large"):
        size_of(png(20_000, 20_000) + suffix, tmp_path)
    with pytest.raises(Rejected, match="image too large"):
        size_of(png(10_000, 9_000) + suffix, tmp_path)


def test_a_header_whose_checksum_is_wrong_is_not_believed(tmp_path):
    data = bytearray(encoded("PNG"))
    data[19] += 1
    with pytest.raises(Rejected, match="image unreadable"):
        size_of(bytes(data), tmp_path)


def test_a_png_without_width_is_none(tmp_path):
    with pytest.raises(Rejected, match="image unreadable"):
        size_of(png(0, 10), tmp_path)


@pytest.mark.parametrize("size", [(1000, 2), (2, 1000)])
def test_what_the_processor_refuses_is_set_aside(size, tmp_path):
    with pytest.raises(Rejected, match="image too elongated"):
        size_of(png(*size), tmp_path)
