"""The engines by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from legor1.inference.types import Engine


def _transformers(*arguments: Any) -> Engine:
    from legor1.inference.transformers_engine import TransformersEngine

    return TransformersEngine(*arguments)


def _vllm(*arguments: Any) -> Engine:
    from legor1.inference.vllm_engine import VllmEngine

    return VllmEngine(*arguments)


# Imported when asked for: vLLM's environment has other releases than that of transformers.
ENGINES: dict[str, Callable[..., Engine]] = {"transformers": _transformers, "vllm": _vllm}


def load_engine(
    recipe: dict[str, Any], tree: Path, base: Path, adapter: Path | None, processor: Any
) -> Engine:
    """Return the recipe's engine.

    Args:
        recipe: engine (a name of ``ENGINES``), and what it needs.
        tree: the dataset tree that image paths start from.
        base, adapter: folders of the base model and of the LoRA adapter, if there is one.
        processor: of the base model, bound to the pixel budget.

    Raises:
        UserError: vLLM is asked for and not installed.
    """
    return ENGINES[recipe["engine"]](recipe, tree, base, adapter, processor)
