"""The slots of an instruction: how many parts of which colour, size and kind go where.

A slot's value is the first match of its pattern, so one rule reads drawn instructions and the prose
of LEGO-ARTA alike. An example counts for the slots that its reference has.
"""

import re
from collections.abc import Mapping

from legor1.tasks.task import Metric, ratio

_SHADE = r"(?:(?:light|dark|bright|medium|sand)[ -])?(?:bluish )?"
_COLOUR = (
    "azure|beige|black|blue|brown|cyan|gold|green|gr[ae]y|lavender|lilac|lime|magenta|maroon|navy"
    "|olive|orange|pink|purple|red|silver|tan|teal|trans(?:parent)?-\\w+|turquoise|violet|white|yellow"
)
_FORM = r"(?:(?:corner|flat|inverted|jumper|round|technic|wheel) )?"
_KIND = (
    "arch|axle|bar|beam|bracket|brick|clip|cone|cylinder|dish|door|fence|hinge|hub|panel|pin|plate"
    "|slope|tile|tyre|wedge|wheel|window"
)
_WHERE = (
    "above|against|along|at|atop|behind|below|beneath|beside|between|in|inside|into|left|near|next"
    "|on|onto|over|right|to|under|underneath"
)
_NUMBER = "one|two|three|four|five|six|seven|eight|nine|ten"
PATTERNS: Mapping[str, str] = {
    "count": rf"(?<![x×] )\b(?:\d+|{_NUMBER})\b(?! ?[x×])",
    "colour": rf"\b{_SHADE}(?:{_COLOUR})\b",
    "size": r"\b\d+(?: ?[x×] ?\d+)+\b",
    "kind": rf"\b{_FORM}(?:{_KIND})(?=s?\b)",
    "place": rf"\b(?:{_WHERE})\b[^.,;!]*",
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
