"""The images of an export, each decoded before: the tree's own files, or what is shown of them.

A file is linked if it shows every reader the same pixels. Any other, which one reader would turn
upright and another not, is written anew as the model sees it.
"""

import os
import shutil
from pathlib import Path, PurePosixPath

from legor1.core.boxes import PixelBudget, Size
from legor1.core.errors import UserError
from legor1.core.files import LEAVES, Rejected, locate, open_below
from legor1.core.images import decode, open_image
from legor1.data.instances import Record


class Images:
    """Puts images of a dataset tree into an export's folder, each once, resized to a ``budget``."""

    def __init__(self, tree: Path, folder: Path, budget: PixelBudget | None = None) -> None:
        self._tree, self._folder, self._budget = Path(tree).resolve(), Path(folder), budget
        self._known: dict[str, tuple[Size, bool]] = {}  # image → its size, and whether plain

    def place(self, turn: Record, below: str = "images") -> str:
        """Put the image of a query or demonstration into the export; return its posix path there.

        The folder ``below`` stands for the tree. Resized images have a folder of their own; those
        written anew have one in it. A UserError names an image that is missing or of another size.
        """
        source, plain = self._checked(turn)
        target, name = self.size(turn), f"{below}/{turn['image']}"
        if resized := target != (turn["width"], turn["height"]):
            name = f"resized/{turn['image']}.png"
        elif not plain:
            name = f"{below}/decoded/{turn['image']}.png"
        path = self._folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            if plain and not resized:
                _link(source, path)
            else:
                _write(source, path, target)
        return name

    def size(self, turn: Record) -> Size:
        """Return (width, height) in pixels that the turn's image has in the export."""
        size = turn["width"], turn["height"]
        return self._budget.processed_size(size) if self._budget else size

    def _checked(self, turn: Record) -> tuple[Path, bool]:
        name, size = turn["image"], (turn["width"], turn["height"])
        try:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise Rejected(LEAVES)
            source = locate(self._tree, name)
            if name not in self._known:
                with open_below(self._tree, name) as file:
                    decoded = decode(file)
                self._known[name] = decoded.image.size, decoded.plain
        except Rejected as error:
            raise _refused(turn, f"{name!r} in {self._tree}: {error}") from error
        actual, plain = self._known[name]
        if actual != size:
            raise _refused(
                turn, f"{name} has {actual} pixels, not {size}, so its boxes are of another image"
            )
        return source, plain


def _refused(turn: Record, why: str) -> UserError:
    remedy = "Remedy: give the tree that the conversations were made from."
    return UserError(f"{turn['instance_id']}: {why}. {remedy}")


def _link(source: Path, path: Path) -> None:
    try:
        os.link(source, path)  # which takes no space
    except OSError:
        shutil.copyfile(source, path)


def _write(source: Path, path: Path, size: Size) -> None:
    from PIL import Image

    image = open_image(source)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    image.save(path, format="PNG")
