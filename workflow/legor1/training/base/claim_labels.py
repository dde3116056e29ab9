"""What a yes-or-no question claims about a step, as labels for a throwaway head.

Yes or no is one bit of a comparison of four attributes, and a model that gets nothing else learns
it late. The head learns at the token before the answer what the new part is like, what is claimed,
and which of it agrees.
"""

from collections.abc import Mapping

from legor1.data.synthetic.wording import VALUES, Instruction, Top, Value
from legor1.training.base.label_head import UNKNOWN

COUNTS = {name: len(values) + (name == "place") for name, values in VALUES.items()}  # and on top
CLASSES = {
    **{f"shown_{name}": count for name, count in COUNTS.items()},
    **{f"told_{name}": count for name, count in COUNTS.items()},
    **{f"same_{name}": 2 for name in COUNTS},
}
NONE = (UNKNOWN,) * len(CLASSES)


def label_claim(shown: Instruction | None, claimed: Mapping[str, Value]) -> tuple[float, ...]:
    """Return the labels, one for each of ``CLASSES``.

    Args:
        shown: what was done; None if nothing was.
        claimed: what the question says was done, by attribute; it may leave some out.
    """
    done = {name: shown.value(name) for name in VALUES} if shown else {}
    same = (float(done.get(n) == claimed[n]) if n in claimed else UNKNOWN for n in VALUES)
    return (*_numbers(done), *_numbers(claimed), *same)


def _numbers(values: Mapping[str, Value]) -> list[float]:
    return [_number(name, values[name]) if name in values else UNKNOWN for name in VALUES]


def _number(name: str, value: Value) -> float:
    return float(len(VALUES[name]) if isinstance(value, Top) else VALUES[name].index(value))
