"""What a reader of a format yields for a question about an image."""

import json
from collections.abc import Iterable
from typing import NamedTuple

from legor1.core.files import Rejected

OBJECT, STATE, FREE = "object", "state", "question"  # the tasks that an example can be of
Labelled = tuple[str, tuple[float, float, float, float]]  # a label, and x1, y1, x2, y2


class Example(NamedTuple):
    """One example, and where it stands; ``answer`` may need the size of the image."""

    file: str  # posix path below the dataset's folder
    position: int  # in its file, counted from 1
    image: str  # posix path below the dataset's folder
    prompt: str
    answer: str
    boxes: str = "pixels"  # units of the boxes in the answer, a name in ``box_frame.UNITS``
    task: str = ""  # as the file says; else it follows from the answer
    group: str = ""  # as the file says


class Unread(NamedTuple):
    """A row that cannot be used, and why."""

    file: str
    position: int
    reason: Rejected
    image: str | None = None


def listed(objects: Iterable[Labelled]) -> str:
    """Return boxes as the object task writes them."""
    return json.dumps([{"bbox_2d": box, "label": label} for label, box in objects])
