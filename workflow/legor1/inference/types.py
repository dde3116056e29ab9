"""What engines are asked and answer: one interface, behind which stand transformers and vLLM."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, Protocol

from legor1.core.boxes import Size


class Picture(NamedTuple):
    """An image of the dataset: its path in the tree, and its (width, height) in pixels."""

    path: str
    size: Size


class Prompt(NamedTuple):
    """What the model is asked.

    Attributes:
        instance: its id.
        text: the chat up to the answer, with one image token for each image.
        pictures: the images, in order.
        tokens: how many it takes, visual ones included.
    """

    instance: str
    text: str
    pictures: tuple[Picture, ...]
    tokens: int


class Engine(Protocol):
    """A model that answers prompts, greedily or drawing as its recipe says."""

    def complete(
        self, prompts: Sequence[Prompt], answered: Collection[int] = ()
    ) -> Iterator[tuple[int, list[int]]]:
        """Yield the number of each prompt with the tokens of its completion, in any order.

        A completion that the model ended has its end token last. It comes as soon as it is there,
        so that a run that is killed has lost little.

        Args:
            prompts: all prompts of the run, in its order.
            answered: numbers of those that an earlier attempt answered. They may come again, but
                the others get the answers that they would have got without that attempt.
        """
        ...
