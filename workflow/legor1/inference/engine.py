"""The interface of an engine: what it is asked, and what it answers."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, Protocol

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


class Engine(Protocol):
    """A model that answers prompts, greedily or by sampling, as its recipe says."""

    def complete(
        self, prompts: Sequence[Prompt], answered: Collection[int] = ()
    ) -> Iterator[tuple[int, list[int]]]:
        """Yield each prompt's index and completion, as soon as it is there, in any order.

        A completion that the model ended has its end token last.

        Args:
            prompts: all prompts of the run, in its order.
            answered: indices of those that an earlier attempt answered. They may come again, but
                the others get the same answers as without that attempt.
        """
        ...
