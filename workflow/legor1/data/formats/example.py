"""What a reader of a format yields for a question about an image, and how images are found."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from legor1.core.boxes import Size
from legor1.core.files import Rejected
from legor1.data.lego_arta.dialogues import storable
from legor1.data.sources import visible

OBJECT, STATE, FREE = "object", "state", "question"  # the tasks that an example can be of
Options = Mapping[str, Any]  # of the config's block
Labelled = tuple[tuple[float, ...], str]  # x1, y1, x2, y2, and the label


class Example(NamedTuple):
    """One example, and where it stands."""

    file: str  # posix path below the dataset's folder
    position: int  # in its file, counted from 1
    image: str  # posix path below the dataset's folder
    prompt: str
    answer: str
    boxes: str = "pixels"  # units of the boxes in the answer, ``pixels`` or a name in ``SCALES``
    task: str = ""  # as the file says; else it follows from the answer
    group: str = ""  # as the file says
    size: Size | None = None  # of the image, as the file says


class Unread(NamedTuple):
    """A row that cannot be used, and why."""

    file: str
    position: int
    reason: Rejected
    image: str | None = None


class Images:
    """The files below a folder: the same image is named in many ways."""

    def __init__(self, root: Path) -> None:
        self._paths = defaultdict(list)
        for path in visible(root):
            self._paths[path.rpartition("/")[2]].append(path)

    def find(self, name: str, file: str, suffixes: Iterable[str] = ("",)) -> str:
        """Return the path of the image that ``file`` calls ``name``, or ``name`` if there is none.

        The path ends as the name does, with one of the suffixes. Of several it is the nearest to
        the file (``train/…`` of ``train/_annotations.coco.json``), or else in a folder that the
        file's name has in it (``train2017`` of ``instances_train2017.json``).
        """

        def distance(path: str) -> tuple[int, bool, str]:
            shared = len(os.path.commonpath([path, file]))
            return -shared, PurePosixPath(path).parent.name not in file, path

        ending = "/" + storable(name.replace("\\", "/")).lstrip("./")
        for suffix in suffixes:
            paths = self._paths.get(ending.rpartition("/")[2] + suffix, ())
            if near := [path for path in paths if f"/{path}".endswith(ending + suffix)]:
                return min(near, key=distance)
        return storable(name)
