"""What answers prompts: one interface, behind which stand transformers and vLLM."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from legor1.boxes import PixelBudget, Size
from legor1.prompts import chat_messages

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """An image of the dataset: its path in the tree, and its (width, height) in pixels."""

    path: str
    size: Size


@dataclass(frozen=True)
class Prompt:
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


def load_engine(
    recipe: dict[str, Any], tree: Path, base: Path, adapter: Path | None, processor: Any
) -> Engine:
    """Return the recipe's engine.

    Args:
        recipe: engine (transformers or vllm), and what it needs.
        tree: the dataset tree that image paths start from.
        base: folder of the base model.
        adapter: folder of the LoRA adapter, or None.
        processor: of the base model, bound to the pixel budget.

    Raises:
        UserError: vLLM is asked for and not installed.
    """
    if recipe["engine"] == "vllm":
        from legor1.inference.vllm_engine import VllmEngine

        return VllmEngine(recipe, tree, base, adapter)
    from legor1.inference.transformers_engine import TransformersEngine

    return TransformersEngine(recipe, tree, base, adapter, processor)


def make_prompt(
    row: Row, tokens: int, processor: Any, budget: PixelBudget, *, demonstrations: bool
) -> Prompt:
    """Return the prompt of a conversation that takes ``tokens``."""
    turns = chat_messages(dict(row), budget, demonstrations=demonstrations)
    shown = [*(row["demonstrations"] if demonstrations else []), row]
    return Prompt(
        row["instance_id"],
        processor.apply_chat_template(turns, tokenize=False, add_generation_prompt=True),
        tuple(Picture(one["image"], (one["width"], one["height"])) for one in shown),
        tokens,
    )
