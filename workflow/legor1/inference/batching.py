"""What the model is asked, and which prompts go through it together: those alike in length.

The longest come first: a batch too large for memory fails at once, not after hours.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from legor1.core.boxes import Size


class Picture(NamedTuple):
    """An image of the dataset: its path in the tree, and its (width, height) in pixels."""

    path: str
    size: Size


class Prompt(NamedTuple):
    """What the model is asked."""

    instance: str  # its id
    text: str  # the chat up to the answer, with one image token for each image
    pictures: tuple[Picture, ...]  # the images, in order
    tokens: int  # visual ones included


def batches(
    lengths: Sequence[int], new: int, size: int | None = None, tokens: int | None = None
) -> Iterator[list[int]]:
    """Yield each batch as indices into ``lengths``; the other arguments are those of ``room``."""
    order = sorted(range(len(lengths)), key=lambda at: (-lengths[at], at))
    while order:
        count = room(lengths[order[0]], new, size, tokens)
        yield order[:count]
        order = order[count:]


def room(longest: int, new: int, size: int | None = None, tokens: int | None = None) -> int:
    """Return how many prompts fit into a batch: its ``size``, or as many as its ``tokens`` hold.

    One of the two is given. Each prompt takes the tokens of the ``longest``, to which it is padded,
    and of an answer, at most ``new``. A prompt that takes more than ``tokens`` is alone.
    """
    return size or max(1, (tokens or 0) // (longest + new))
