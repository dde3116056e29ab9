"""The images of an export: the tree's own files, linked or resized, each checked before."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from legor1.boxes import PixelBudget, Size
from legor1.data.headers import image_size
from legor1.data.tree import FORMATS, LEAVES, Rejected, Tree, locate
from legor1.errors import UserError

Row = dict[str, Any]
TEXTS, NUMBERS = ("instance_id", "image", "prompt", "response"), ("width", "height")


class Images:
    """Puts images of a dataset tree into an export's folder, each once."""

    def __init__(self, tree: Path, folder: Path, budget: PixelBudget | None = None) -> None:
        """Bind the two folders.

        Args:
            tree: the dataset tree.
            folder: the export's folder.
            budget: images are resized to what it makes of them; none leaves them as they are.
        """
        self._tree, self._folder, self._budget = Tree(tree), Path(folder), budget
        self._sizes: dict[str, Size] = {}

    def place(self, turn: Row, below: str = "images") -> str:
        """Put the image of a query or demonstration into the export, if it is not there yet.

        Args:
            turn: has ``image``, ``width`` and ``height``.
            below: the folder, relative to the export's, that stands for the tree. Resized images
                have a folder of their own.

        Returns:
            The image's posix path relative to the export's folder.

        Raises:
            UserError: there is no such image in the tree, or it has another size.
        """
        source = self._checked(turn)
        size = turn["width"], turn["height"]
        target = self.size(turn)
        name = f"{below}/{turn['image']}" if target == size else f"resized/{turn['image']}.png"
        path = self._folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            if target == size:
                _link(source, path)
            else:
                _resize(source, path, target)
        return name

    def size(self, turn: Row) -> Size:
        """Return (width, height) in pixels that the turn's image has in the export."""
        size = turn["width"], turn["height"]
        return self._budget.processed_size(size) if self._budget else size

    def _checked(self, turn: Row) -> Path:
        name = turn["image"]
        try:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise Rejected(LEAVES)
            source = locate(self._tree.root, name)
            if name not in self._sizes:
                self._sizes[name] = self._measure(name)
        except Rejected as error:
            raise UserError(
                f"{turn['instance_id']}: {name!r} in {self._tree.root}: {error}. "
                "Remedy: give the tree that the conversations were made from."
            ) from error
        if self._sizes[name] != (turn["width"], turn["height"]):
            raise UserError(
                f"{turn['instance_id']}: {name} has {self._sizes[name]} pixels, not "
                f"{(turn['width'], turn['height'])}, so its boxes are of another image. "
                "Remedy: give the tree that the conversations were made from."
            )
        return source

    def _measure(self, name: str) -> Size:
        descriptor, length = self._tree.open(name)
        try:
            return image_size(descriptor, length)
        finally:
            os.close(descriptor)


def turns(row: Row) -> Iterator[Row]:
    """Yield the row's demonstrations, then the row itself: each has an image, prompt, response."""
    yield from row["demonstrations"]
    yield row


def check_rows(rows: list[Row], path: Path) -> None:
    """Check what all formats rely on.

    Raises:
        UserError: names the first row that is no conversation, or that there are none.
    """
    if not rows:
        raise UserError(f"{path} has no conversations. Remedy: make it again by 'legor1 convert'.")
    for number, row in enumerate(rows, 1):
        shown = row["demonstrations"]
        if not isinstance(shown, list) or not all(_is_turn(one) for one in [*shown, row]):
            raise UserError(
                f"{path}, row {number}: not a conversation (see conversation.schema.json). "
                "Remedy: make it again by 'legor1 convert'."
            )


def _is_turn(turn: Any) -> bool:
    return (
        isinstance(turn, dict)
        and all(isinstance(turn.get(key), str) and turn[key] for key in TEXTS)
        and all(type(turn.get(key)) is int and turn[key] > 0 for key in NUMBERS)
    )


def _link(source: Path, path: Path) -> None:
    """Give the file a second name, which takes no space, or copy it where that cannot be."""
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)


def _resize(source: Path, path: Path, size: Size) -> None:
    from PIL import Image

    try:
        with Image.open(source, formats=FORMATS) as image:
            image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(path, format="PNG")
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{source}: {error}. Remedy: fetch the dataset again.") from error
