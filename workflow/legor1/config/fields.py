"""The types of the config's keys: what each takes, within which bounds."""

import contextlib
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WrapValidator

LARGEST = 2**32 - 1  # of numbers: NumPy takes no larger seed


def key(meaning: str, default: Any = ..., **bounds: Any) -> Any:
    """Return a key of a block: one that has to be there if it has no default.

    With the default None it may be left out, but not be null unless its type says so.
    """
    return Field(default, description=meaning, **bounds)


def _written(read: Callable[[str], object]) -> Callable[[object], object]:
    """Return what reads a value out of text, if that says one, and refuses NaN and huge numbers.

    YAML reads ``1e-4`` as text, and Snakemake everything inside ``--config block={…}``.
    """

    def convert(value: object) -> object:
        if isinstance(value, str):
            with contextlib.suppress(KeyError, ValueError):
                value = read(value)
        if isinstance(value, int | float) and not abs(value) <= LARGEST:
            raise ValueError(f"Input should be at most {LARGEST}")
        return value

    return convert


def _real(value: object, check: Callable[[object], object]) -> object:
    """Return a number as it is written: 3 stays whole, so that a recipe's text stays the same."""
    number = check(_written(float)(value))
    return value if type(value) is int else number


def _unique(values: list[object]) -> list[object]:
    if any(value in values[:place] for place, value in enumerate(values)):
        raise ValueError("something is there twice")
    return values


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from error
    return pattern


def _not_the_tree(name: str) -> str:
    if name == "tree":
        raise ValueError("data/tree is the dataset")
    return name


WHOLE, REAL = BeforeValidator(_written(int)), WrapValidator(_real)
UNIQUE = (Field(json_schema_extra={"uniqueItems": True}), AfterValidator(_unique))
SWITCHED = BeforeValidator(_written({"true": True, "false": False}.__getitem__))

Seed = Annotated[int, Field(strict=True, ge=0), WHOLE]
Count = Annotated[int, Field(strict=True, ge=1), WHOLE]
Several = Annotated[int, Field(strict=True, ge=2), WHOLE]
Pixels = Annotated[int, Field(strict=True, ge=784), WHOLE]
VocabularySize = Annotated[int, Field(strict=True, ge=257), WHOLE]
Number = Annotated[float, Field(strict=True), REAL]
AboveZero = Annotated[float, Field(strict=True, gt=0), REAL]
NotNegative = Annotated[float, Field(strict=True, ge=0), REAL]
Fraction = Annotated[float, Field(strict=True, gt=0, lt=1), REAL]  # neither none nor all
Share = Annotated[float, Field(strict=True, ge=0, le=1), REAL]
Kept = Annotated[float, Field(strict=True, gt=0, le=1), REAL]  # not none, but perhaps all
Dropped = Annotated[float, Field(strict=True, ge=0, lt=1), REAL]
Switch = Annotated[bool, Field(strict=True), SWITCHED]
Name = Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$", max_length=100)]
ProtocolName = Annotated[Name, AfterValidator(_not_the_tree)]
Size = Annotated[str, Field(pattern="^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$")]
Names = Annotated[list[str], Field(min_length=1), *UNIQUE]
Device = Literal["cuda", "cpu"]
Precision = Literal["bfloat16", "float32"]
Attention = Literal["flash_attention_2", "sdpa"]
Engine = Literal["transformers", "vllm"]
BoxUnits = Literal["pixels", "thousandths", "percent", "fractions"]
Pattern = Annotated[str, AfterValidator(_compiles)]
AnswerFrame = Literal[
    "asked", "original", "processed", "thousandths", "percent", "fractions"
]  # ``asked``, or one of ``box_frame.UNITS``
Suite = Literal[
    "sound", "thesis", "figure1_configuration1", "figure1_configuration2",
    "batch_task", "matched_only_reward", "matched_only_reward_batch_task",
]  # fmt: skip
Scoring = Annotated[list[Literal["sound", "thesis"]], Field(min_length=1), *UNIQUE]
