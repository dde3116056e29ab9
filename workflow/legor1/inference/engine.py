"""The engines by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from legor1.inference.types import Engine


def _transformers() -> Callable[..., Engine]:
    from legor1.inference.transformers_engine import TransformersEngine

    return TransformersEngine


def _vllm() -> Callable[..., Engine]:
    from legor1.inference.vllm_engine import VllmEngine

    return VllmEngine


# Imported when asked for: vLLM's environment has other releases than that of transformers.
ENGINES = {"transformers": _transformers, "vllm": _vllm}


def load_engine(
    recipe: dict[str, Any], tree: Path, base: Path, adapter: Path | None, processor: Any
) -> Engine:
    """Return the recipe's engine; ``base`` and ``adapter`` are folders, ``tree`` has the images.

    Raises:
        UserError: vLLM is asked for and not installed.
    """
    return ENGINES[recipe["engine"]]()(recipe, tree, base, adapter, processor)
