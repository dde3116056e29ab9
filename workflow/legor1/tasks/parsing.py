"""Model text → typed answer: strictly as the prompt asked for it, or leniently.

Nothing here raises, whatever the text, and all of it takes time linear in the text's length: every
pattern either fails within a few characters or consumes what it has read.
"""

import json
import re
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from legor1.core.boxes import Box

# What is longer, or has more boxes, is no answer: matching boxes and aligning words take more than
# linear time. The longest that models give here, of 4,096 tokens, have about 18,000 characters.
LONGEST = 50_000  # characters, without the thinking
MOST_BOXES = 1_000
FARTHEST = 1e9  # a coordinate beyond this is no pixel, and its areas would overflow

Part = tuple[bool, str]  # of a completion: whether it is thinking, and the text with its tags

_JSON = json.JSONDecoder(parse_int=float)

_THINKING = re.compile(r"<think>.*?(?P<end></think>|\Z)", re.I | re.S)
_CLOSING = re.compile(r"</think>", re.I)
_ANSWER = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.I | re.S)

_NUMBER = r"""\s*["']?([-+]?\d{1,9}(?:\.\d{0,30})?)["']?\s*"""
_ITEM = re.compile(r"\{[^{}]*\}")
_BOX = re.compile(
    r"""["'](?:bbox_2d|box_2d|bbox|box)["']\s*:\s*[\[(]""" + ",".join([_NUMBER] * 4) + r",?\s*[\])]"
)
_LABEL_KEY = re.compile(r"""["']label["']\s*:\s*""")
_DOUBLE_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+"', re.S)
# An apostrophe inside a label is not followed by what follows a value.
_SINGLE_QUOTED = re.compile(r"'((?:[^'\\]|\\.|'(?!\s*[,}]))*+)'", re.S)
_TAGGED = re.compile(r"<p>([^<]*)</p>\s*\{\s*" + r"\s*".join([f"<{_NUMBER}>"] * 4) + r"\s*\}", re.I)
_EMPTY_LIST = re.compile(r"\[\s*\]")

# Spelt out, since re.I would take "ye\u017f" (with a long s) for yes.
_YES_OR_NO = re.compile(r"\b(?:([Yy][Ee][Ss])|[Nn][Oo])\b")
_STRICT_STATE = {"Yes": True, "Yes.": True, "No": False, "No.": False}


@dataclass(frozen=True)
class Detection:
    """One object of an answer: a box (in whatever frame the text was in) and its label."""

    box: Box
    label: str


def bounded(answer: str) -> str:
    """Return ``answer``, or nothing if it is longer than any answer can be."""
    return answer if len(answer) <= LONGEST else ""


def literal_tag(text: str, tag: str) -> str | None:
    """Return what the first literal ``tag`` that is closed holds, as the published code reads."""
    _, opening, rest = text.partition(f"<{tag}>")
    inside, closing, _ = rest.partition(f"</{tag}>")
    return inside if opening and closing else None


def too_long(text: str) -> bool:
    """Tell whether the answer in ``text`` is longer than any can be, and so counts as empty."""
    return len(text) > LONGEST and len(_whole_answer(text)) > LONGEST


def extract(text: str) -> str:
    """Return the answer in ``text``: what the first answer tag holds, else all but the thinking.

    Thinking that was never closed ends where an answer tag opens; without one, all that follows
    it is thinking, and the answer is empty; so is one of more than ``LONGEST`` characters.
    """
    return bounded(_whole_answer(text))


def _whole_answer(text: str) -> str:
    rest = "".join(part for thinking, part in split_thinking(text) if not thinking)
    answer = _ANSWER.search(rest)
    return (answer[1] if answer else rest).strip()


def split_thinking(text: str) -> list[Part]:
    """Return the parts of a completion in order; together they are the text as it is.

    Thinking is what a pair of tags holds, what stands before a closing tag that was never opened,
    and from an opening tag that was never closed up to an answer tag, or the end.
    """
    spans = []
    for match in _THINKING.finditer(text):
        answer = None if match["end"] else _ANSWER.search(text, match.start())
        spans.append((match.start(), answer.start() if answer else match.end()))
    closed = {end for _, end in spans}
    never_opened = [m.end() for m in _CLOSING.finditer(text) if m.end() not in closed]
    if never_opened:
        last = never_opened[-1]
        spans = [(0, last), *(span for span in spans if span[0] >= last)]
    pieces, at = [], 0
    for start, end in spans:
        pieces += [(False, text[at:start]), (True, text[start:end])]
        at = end
    pieces.append((False, text[at:]))
    kinds = groupby((piece for piece in pieces if piece[1]), key=itemgetter(0))
    return [(thinking, "".join(piece for _, piece in group)) for thinking, group in kinds]


def parse_objects(text: str, *, strict: bool = False) -> list[Detection] | None:
    """Return the boxes and labels of an object answer, or None if there is no telling.

    Args:
        text: what the model said.
        strict: accept only the JSON list that the prompt asks for, each item with exactly
            ``bbox_2d`` (four finite numbers) and ``label``. Otherwise also code fences, single
            quotes, numbers in quotes, prose around the list, ``bbox``, ``box`` and ``box_2d``,
            items without label (it is empty), lists cut short (their complete items count), and
            ``<p>label</p> {<x1><y1><x2><y2>}``; what has no box is passed over.

    Returns:
        The detections in the order of the text. An empty list is an answer: nothing is there. More
        than ``MOST_BOXES`` are none.
    """
    detections = _detections(extract(text), strict)
    return None if detections and len(detections) > MOST_BOXES else detections


def _detections(body: str, strict: bool) -> list[Detection] | None:
    detections = _from_json(body)
    if strict or detections is not None:
        return detections
    detections = (
        _from_json(body[max(body.find("["), 0) : body.rfind("]") + 1])
        or [
            Detection(_floats(box.groups()), _label(item))
            for item in _ITEM.findall(body)
            if (box := _BOX.search(item))
        ]
        or parse_tagged(body)
    )
    nothing = "{" not in body and _EMPTY_LIST.search(body)
    return detections if detections or nothing else None


def four_floats(box: object) -> list[float] | None:
    """Return four numbers, or what Python converts to them; None for anything else."""
    if not isinstance(box, list) or len(box) != 4:
        return None
    try:
        return [float(number) for number in box]
    except (TypeError, ValueError, OverflowError):
        return None


def parse_tagged(text: str) -> list[Detection]:
    """Return each ``<p>label</p> {<x1><y1><x2><y2>}`` of a text, in order; others are no answer."""
    return [Detection(_floats(tag.groups()[1:]), tag[1].strip()) for tag in _TAGGED.finditer(text)]


def parse_state(text: str, *, strict: bool = False) -> bool | None:
    """Return whether the answer is yes, or None if it is neither yes nor no.

    Args:
        text: what the model said.
        strict: accept only ``Yes`` or ``No``, with or without a full stop. Otherwise the first
            whole word yes or no counts, in any case.
    """
    answer = extract(text)
    return _STRICT_STATE.get(answer) if strict else yes_or_no(answer)


def yes_or_no(answer: str) -> bool | None:
    """Return whether the first whole word yes or no is yes; None without either."""
    word = _YES_OR_NO.search(answer)
    return None if word is None else word[1] is not None


def _from_json(text: str) -> list[Detection] | None:
    try:
        items = _JSON.decode(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(items, list):
        return None
    detections = [_from_value(item) for item in items]
    return None if None in detections else [item for item in detections if item]


def _from_value(item: object) -> Detection | None:
    if not isinstance(item, dict) or item.keys() != {"bbox_2d", "label"}:
        return None
    box, label = item["bbox_2d"], item["label"]
    if not isinstance(label, str) or not isinstance(box, list) or len(box) != 4:
        return None
    # Every number is a float here, and nothing else is; NaN is not below anything.
    if not all(type(x) is float and abs(x) <= FARTHEST for x in box):
        return None
    return Detection((box[0], box[1], box[2], box[3]), label.strip())


def _floats(groups: tuple[str, ...]) -> Box:
    x1, y1, x2, y2 = map(float, groups)
    return x1, y1, x2, y2


def _label(item: str) -> str:
    key = _LABEL_KEY.search(item)
    if key is None:
        return ""
    if single := _SINGLE_QUOTED.match(item, key.end()):
        return single[1].replace("\\'", "'").strip()
    double = _DOUBLE_QUOTED.match(item, key.end())
    try:
        return json.loads(double[0], strict=False).strip() if double else ""
    except ValueError:
        return ""
