"""The slots of an instruction: how many parts of which colour, size and kind go where.

A slot's value is the first match of its pattern, so one rule reads drawn instructions and the prose
of LEGO-ARTA alike. An example counts for the slots that its reference has.
"""

import re
from collections.abc import Mapping

from legor1.core.files import beside
from legor1.tasks.task import Metric, ratio

_ANY = {name: f"(?:{'|'.join(words)})" for name, words in beside(__file__).items()}
PATTERNS: Mapping[str, str] = {
    "count": rf"(?<![x×] )\b(?:\d+|{_ANY['number']})\b(?! ?[x×])",
    "colour": rf"\b(?:{_ANY['shade']}[ -])?(?:bluish )?{_ANY['colour']}\b",
    "size": r"\b\d+(?: ?[x×] ?\d+)+\b",
    "kind": rf"\b(?:{_ANY['form']} )?{_ANY['kind']}(?=s?\b)",
    "place": rf"\b{_ANY['where']}\b[^.,;!]*",
}
FEATURES = tuple(f"{name}_{what}" for name in PATTERNS for what in ("asked", "hit"))

_SLOTS = {name: re.compile(pattern, re.I) for name, pattern in PATTERNS.items()}


def values(instruction: str) -> dict[str, str]:
    """Return slot → its value in lower case, without the spaces of a size; only those present."""
    matches = {name: slot.search(instruction) for name, slot in _SLOTS.items()}
    texts = {name: match[0].lower().strip() for name, match in matches.items() if match}
    return texts | ({"size": re.sub(" ?[x×] ?", "x", texts["size"])} if "size" in texts else {})


def compare(prediction: str, reference: str) -> dict[str, float]:
    """Return ``FEATURES``: whether the reference has a slot, and the prediction the same in it."""
    predicted, true = values(prediction), values(reference)
    features: dict[str, float] = {}
    for name in PATTERNS:
        features[f"{name}_asked"] = float(name in true)
        features[f"{name}_hit"] = float(name in true and predicted.get(name) == true[name])
    return features


def metrics() -> dict[str, Metric]:
    """Return ``<slot>_right`` → the share of the examples with the slot in which it is right."""
    return {f"{name}_right": _right(name) for name in PATTERNS}


def _right(name: str) -> Metric:
    return lambda sums: ratio(sums[f"{name}_hit"], sums[f"{name}_asked"])
