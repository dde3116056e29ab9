"""Every image comes out alike in the index, fingerprints, trainings, inference, export, gallery."""

import io
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset, List
from PIL import Image
from trees import BOX, Tree, reasons_of, records_of

from legor1.core.errors import UserError
from legor1.core.images import open_image
from legor1.data.export import Images
from legor1.data.fingerprints import fingerprints, read_images, write_images
from legor1.data.instances import read_records
from legor1.data.lego_arta.index import write_index
from legor1.data.split import split
from legor1.inference.transformers_engine import TransformersEngine
from legor1.inference.vllm_engine import VllmEngine
from legor1.report.gallery import pictures as gallery
from legor1.training.fast.packed_trainer import Pictures, Upright

NAME = "object_dataset/lego/m/images/1_eop.png"
NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 4)).astype(np.uint8)
COLOURS = np.ascontiguousarray(NOISE[..., :3])
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: np.rot90(a),
}
RGB, GREY = Image.fromarray(COLOURS), Image.fromarray(NOISE[..., 0])
PALETTE = RGB.quantize(16)
ALPHAS = bytes(range(0, 256, 16))  # of the palette's entries


def encoded(image: Image.Image, format: str, **settings) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **settings)
    return stream.getvalue()


def turned(orientation: int, format: str, **settings) -> tuple[bytes, np.ndarray]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain = np.asarray(Image.open(io.BytesIO(encoded(RGB, format, **settings))))
    return encoded(RGB, format, exif=exif, **settings), TURNS[orientation](plain)


def grey(levels) -> np.ndarray:
    return np.repeat(np.asarray(levels)[..., None], 3, axis=2)


def on_white(colours, alpha) -> np.ndarray:
    share = np.asarray(alpha)[..., None] / 255
    return np.asarray(colours) * share + 255 * (1 - share)


def cases():
    """Name → the file's bytes, its pixels, and whether any reader sees these."""
    for orientation in TURNS:
        yield f"jpeg turned {orientation}", *turned(orientation, "JPEG"), orientation == 1
    yield "png turned", *turned(6, "PNG"), False
    yield "webp turned", *turned(8, "WEBP", lossless=True), False
    deep = np.arange(60 * 40, dtype=np.uint16).reshape(40, 60) * 27
    yield "16 bits", encoded(Image.fromarray(deep), "PNG"), grey(np.round(deep / 257)), False
    yield "rgb", encoded(RGB, "PNG"), COLOURS, True
    yield "bmp", encoded(RGB, "BMP"), COLOURS, True
    yield "grey", encoded(GREY, "PNG"), grey(GREY), True
    bits = GREY.point(lambda level: 255 * (level > 127)).convert("1", dither=0)
    yield "1 bit", encoded(bits, "PNG"), grey(255 * np.asarray(bits)), True
    shown, entries = np.asarray(PALETTE.convert("RGB")), np.asarray(PALETTE)
    yield "palette", encoded(PALETTE, "PNG"), shown, True
    yield "gif", encoded(PALETTE, "GIF"), shown, True
    clear = on_white(shown, np.where(entries == 3, 0, 255))
    yield "palette, one entry clear", encoded(PALETTE, "PNG", transparency=3), clear, False
    yield "gif, one entry clear", encoded(PALETTE, "GIF", transparency=3), clear, False
    faint = on_white(shown, np.frombuffer(ALPHAS, np.uint8)[entries])
    yield "palette, faint", encoded(PALETTE, "PNG", transparency=ALPHAS), faint, False
    alpha = NOISE[..., 3]
    yield "rgba", encoded(Image.fromarray(NOISE), "PNG"), on_white(COLOURS, alpha), False
    both = Image.merge("LA", [GREY, Image.fromarray(alpha)])
    yield "grey with alpha", encoded(both, "PNG"), on_white(grey(GREY), alpha), False
    level = int(np.asarray(GREY)[5, 5])
    one_grey = on_white(grey(GREY), np.where(np.asarray(GREY) == level, 0, 255))
    yield "grey, one level clear", encoded(GREY, "PNG", transparency=level), one_grey, False
    ink = RGB.convert("CMYK")
    printed = encoded(ink, "JPEG", quality=95)
    yield "cmyk", printed, np.asarray(Image.open(io.BytesIO(printed)).convert("RGB")), False


CASES = {name: rest for name, *rest in cases()}


def pixels(image) -> np.ndarray:
    assert image.mode == "RGB"
    return np.asarray(image)


class Processor:
    """An image processor that keeps what it is given."""

    def __call__(self, images, return_tensors):
        self.seen = images
        return {"image_grid_thw": torch.zeros(1, 3), "pixel_values": torch.zeros(1, 1)}


@pytest.fixture
def made(request, tmp_path):
    data, wanted, plain = CASES[request.param]
    tree = Tree(tmp_path / "tree")
    tree.objects("m/images/1_eop.png", '[{"bbox_2d": [1, 2, 30, 38], "label": "a"}]')
    (tree.root / NAME).write_bytes(data)
    return tree, wanted, plain


@pytest.mark.parametrize("made", CASES, indirect=True)
def test_an_image_is_the_same_everywhere(made, tmp_path):
    tree, wanted, plain = made
    path = tree.root / NAME
    seen = pixels(open_image(path))
    assert seen.shape == wanted.shape
    np.testing.assert_allclose(seen, wanted, atol=1)
    size = (seen.shape[1], seen.shape[0])
    (row,) = records_of(tree)
    assert (row["image_width"], row["image_height"]) == size
    (mark,) = fingerprints([NAME], tree.root)
    Image.fromarray(seen).save(tmp_path / "seen.png")
    (same,) = fingerprints(["seen.png"], tmp_path)
    assert mark["perceptual_hash"] == same["perceptual_hash"] != ""
    assert (mark["width"], mark["height"], mark["problem"]) == (*size, "")

    processor = Processor()  # of SFT, and of GRPO where images are shared
    for source in ({"path": str(path), "bytes": None}, {"path": None, "bytes": path.read_bytes()}):
        Pictures(processor, 1 << 20).find(source)
        assert np.array_equal(pixels(processor.seen[0]), seen)
    rows = Dataset.from_list([{"images": [str(path)]}]).cast_column("images", List(Upright()))
    assert np.array_equal(pixels(rows[0]["images"][0]), seen)  # of TRL's stock trainers

    picture = SimpleNamespace(path=NAME, size=size)
    for engine in (TransformersEngine, VllmEngine):
        given = given_by(engine, tree.root, picture)
        assert np.array_equal(pixels(given), seen)

    assert np.array_equal(pixels(gallery.read(tree.root, NAME)), seen)
    turn = {"instance_id": "a", "image": NAME, "width": size[0], "height": size[1]}
    out = tmp_path / "out" / Images(tree.root, tmp_path / "out").place(turn)
    assert out.samefile(path) == plain
    assert np.array_equal(np.asarray(Image.open(out).convert("RGB")), seen)


def given_by(engine, tree, picture):
    """Return the image that an engine hands to its model."""
    one = engine.__new__(engine)
    one.tree = tree
    if engine is VllmEngine:
        asked = SimpleNamespace(pictures=[picture], text="")
        return one._request(asked)["multi_modal_data"]["image"][0]
    processor = Processor()
    one.processor = SimpleNamespace(image_processor=processor)
    with pytest.raises(AttributeError):  # there is no model to go on with
        one._encode([picture])
    return processor.seen[0]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def broken_in_the_middle() -> bytes:
    """Return a PNG whose head and tail are sound, with half of its pixels."""
    data = encoded(RGB, "PNG")
    start = data.index(b"IDAT") + 4
    (length,) = struct.unpack(">I", data[start - 8 : start - 4])
    return (
        data[: start - 8] + chunk(b"IDAT", data[start : start + length // 2]) + chunk(b"IEND", b"")
    )


def text_bomb() -> bytes:
    data = encoded(RGB, "PNG")
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200 << 20)))
    return data[:33] + bomb + data[33:]


def turned_behind_its_pixels() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(RGB, "PNG")
    return data[:-12] + chunk(b"eXIf", exif.tobytes()[6:]) + data[-12:]


BROKEN = {
    "image unreadable": broken_in_the_middle,
    "image unreadable ": text_bomb,
    "size not as its header says": turned_behind_its_pixels,
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_image_costs_its_rows_and_has_a_reason(reason, tmp_path):
    tree = Tree(tmp_path / "tree")
    for manual in "abc":
        for number in (1, 2):
            tree.objects(f"{manual}/images/{number}_eop.png", BOX, colour=ord(manual) * number)
    bad = "object_dataset/lego/b/images/3_eop.png"
    answer = '[{"bbox_2d": [1, 2, 30, 38], "label": "a"}]'
    tree.ask("object_qwen_new.jsonl", "b/images/3_eop.png", answer)
    (tree.root / bad).write_bytes(BROKEN[reason]())
    paths = [tmp_path / name for name in ("i.parquet", "q.jsonl", "images.parquet")]
    write_index(tree.root, *paths[:2])
    aside = reasons_of(tree)
    if aside:  # known before anything was decoded
        assert aside == [reason.strip()]
        return
    said = write_images(paths[0], tree.root, paths[2], 1)
    assert (said["images"], said["broken"]) == (7, 1)
    content = split(read_records(paths[0]), seed=1, test_fraction=0.4, images=read_images(paths[2]))
    lost = {"instance_id": "object/b/images/3_eop", "reason": reason.strip()}
    assert content["left_out"] == [lost]
    assert len(content["train"] + content["test"]) == 6


def test_what_is_no_image_is_named(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.new("I;16", (4, 4)), "PNG", transparency=0))
    with pytest.raises(UserError, match=r"a\.png cannot.*transparent image of 16 bits.*Remedy: "):
        open_image(path)
    with pytest.raises(UserError, match=r"b\.png cannot.*Remedy: "):
        open_image(tmp_path / "b.png")
