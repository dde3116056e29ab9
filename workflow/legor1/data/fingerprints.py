"""Fingerprints of images: images.parquet, by which the same picture is known wherever it lies.

Two fingerprints: SHA-256 of the file, and a perceptual hash of what it shows, which a copy keeps
that was encoded or scaled anew. It is pHash (by the library ImageHash) of 256 bits: on drawn
manuals, copies as JPEG at half the size differ in at most 6 bits, pictures of two manuals in 28 or
more.

An image that cannot be decoded keeps its row, with the problem, and the split leaves it out.
"""

import hashlib
import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from legor1.core import files
from legor1.core.errors import UserError
from legor1.core.files import Rejected
from legor1.core.images import decode
from legor1.core.progress import Progress
from legor1.data.instances import Record, read_records, read_table, write_table

COLUMNS = {
    "image": "string",  # relative to the tree
    "sha256": "string",  # of the file
    "perceptual_hash": "string",  # 64 hexadecimal digits; "" for a blank image
    "width": "int64",  # pixels
    "height": "int64",
    "problem": "string",  # why it cannot be used; "" for a sound image
}
DISTANCE = 8  # bits of the perceptual hash in which copies of a picture may differ
_SIDE = 16  # of the hash, in bits
_BLANK = 2  # grey levels between the darkest and the lightest part of a picture that shows nothing
_CHUNK = 32  # images that a process takes at once


def fingerprint(name: str, tree: Path) -> Record:
    """Return the row of one image, decoded once; ``tree`` is a resolved path."""
    import imagehash

    try:
        with files.open_below(tree, name) as file:
            data = file.read()
    except (Rejected, OSError) as error:
        raise UserError(
            f"{tree / name} cannot be read: {error}. "
            "Remedy: bring it back, or index the tree again with 'legor1 index'."
        ) from error
    known = {"image": name, "sha256": hashlib.sha256(data).hexdigest()}
    try:
        image, _ = decode(io.BytesIO(data))
    except Rejected as rejected:
        unknown = dict.fromkeys(COLUMNS, "") | {"width": 0, "height": 0}
        return unknown | known | {"problem": str(rejected)}
    grey = image.convert("L")
    levels = np.asarray(grey.reduce(max(1, min(grey.size) // 64)))
    blank = int(levels.max()) - int(levels.min()) < _BLANK
    return known | {
        "perceptual_hash": "" if blank else str(imagehash.phash(grey, hash_size=_SIDE)),
        "width": grey.width,
        "height": grey.height,
        "problem": "",
    }


def fingerprints(images: Sequence[str], tree: Path, workers: int = 1) -> list[Record]:
    """Return the rows of many images, in their order; a UserError names one that is missing."""
    work = partial(fingerprint, tree=Path(tree).resolve())
    shown = partial(Progress, total=len(images), desc="Fingerprints", unit="images")
    if workers == 1:
        return list(shown(map(work, images)))
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return list(shown(pool.map(work, images, chunksize=_CHUNK)))


def write_images(instances: Path, tree: Path, out: Path, workers: int) -> Record:
    """Write images.parquet of all images of instances.parquet, and return how many."""
    columns = ("image", "image_width", "image_height")
    sizes = {name: size for name, *size in map(dict.values, read_records(instances, columns))}
    rows = fingerprints(sorted(sizes), tree, workers)
    for row in rows:
        if not row["problem"] and sizes[row["image"]] != [row["width"], row["height"]]:
            row["problem"] = "size not as its header says"
    write_table(out, rows, COLUMNS, {"schema_version": "3"})
    broken = sum(bool(row["problem"]) for row in rows)
    blank = sum(not row["perceptual_hash"] for row in rows) - broken
    return {"images": len(rows), "blank": blank, "broken": broken}


def read_images(path: Path) -> list[Record]:
    """Read images.parquet: a row an image, with the keys ``COLUMNS``; raises as ``read_table``."""
    return read_table(path, list(COLUMNS), list(COLUMNS), "fingerprints", "legor1 fingerprint")


class Lookalikes:
    """Finds, among perceptual hashes, those that are near to another; blank images are to none."""

    def __init__(self, hashes: Iterable[str]) -> None:
        self._hashes = [*dict.fromkeys(filter(None, hashes))]
        self._words = _words(*self._hashes)

    def of(self, text: str) -> dict[str, int]:
        """Return each hash that is near to ``text``, itself if it is there, and the bits apart."""
        if not text:
            return {}
        apart = np.bitwise_count(self._words ^ _words(text)).sum(axis=1)
        near = np.flatnonzero(apart <= DISTANCE)
        return {self._hashes[at]: int(apart[at]) for at in near}


def _words(*hashes: str) -> np.ndarray:
    """Return the bits of hashes, (n, 4) words of 64."""
    return np.frombuffer(bytes.fromhex("".join(hashes)), np.uint64).reshape(-1, _SIDE**2 // 64)
