"""The rewards of the published second iteration, to the letter, their defects included.

``matched_only_reward``: IoU is averaged over matched pairs, so missing and extra boxes cost only
the bonus, and one bad box voids the answer. A reward gives 0 to the tasks that are not its own,
where the ``sound`` rewards leave the sample out.

A solution stands in an answer tag: ``<answer>…</answer>``.
"""

import functools
import json
import re
from typing import Any

import numpy as np

from legor1.core.boxes import iou_matrix
from legor1.tasks.metrics.nltk_text import bleu, tokens
from legor1.tasks.parsing import MOST_BOXES, bounded
from legor1.tasks.rewards import Suite

BONUS = 0.1  # for as many boxes as there should be

Item = tuple[list[float], str]  # box and label

_OPENING, _CLOSING = (re.compile(rf"<\s*{slash}answer\s*>") for slash in ("", r"/\s*"))
_OPENING_ANY, _CLOSING_ANY = (re.compile(tag.pattern, re.I) for tag in (_OPENING, _CLOSING))


def solution(answer: str) -> str:
    """Return a true answer as these rewards want it: in an answer tag."""
    return answer if _OPENING_ANY.match(answer) else f"<answer>{answer}</answer>"


def infer_task(solution: str) -> str:
    """Return which task a solution belongs to: object, state, or else grounding.

    An empty list is none of objects here, so it is grounding.
    """
    text = solution.strip()
    opening = _OPENING_ANY.match(text)
    closing = opening and _CLOSING_ANY.search(text, opening.end())
    if not (opening and closing) or closing.end() != len(text):
        return "grounding"
    content = text[opening.end() : closing.start()].strip()
    if content[:1] + content[-1:] == "[]":
        inside = content[1:-1].strip()
        return "object" if inside[:1] + inside[-1:] == "{}" else "grounding"
    return "state" if content.lower().removesuffix(".") in ("yes", "no") else "grounding"


SUITE = Suite(infer_task, solution, guesses=True)


@SUITE.reward("format")
def format_reward(completion: str, solution: str, task: str) -> float:
    """Return 0.25 each for thinking, an answer, a JSON list in it, and boxes of four numbers.

    State and grounding: 0.5 each for thinking and an answer.
    """
    thinking = _tagged(completion, "think") is not None
    answer = _tagged(completion, "answer")
    if task != "object":
        return 0.5 * thinking + 0.5 * (answer is not None)
    items = _json_list(answer)
    boxed = items is not None and all(_has_four_numbers(item) for item in items)
    return 0.25 * (thinking + (answer is not None) + (items is not None) + boxed)


@SUITE.reward("object")
def object_reward(completion: str, solution: str, task: str) -> float:
    """Return the mean of IoU and of the labels' ROUGE-1 over the matched pairs, halved and added.

    Equal counts above 0 give a bonus; the sum is capped at 1. Without strict JSON lists of whole
    items on both sides it is 0.
    """
    if task != "object":
        return 0.0
    predicted, true = _items(completion), _items(solution)
    if predicted is None or true is None or bool(predicted) != bool(true):
        return 0.0
    if not true:
        return 1.0
    iou, label = _matched_means(predicted, true)
    return min((iou + label) / 2 + BONUS * (len(predicted) == len(true)), 1.0)


@SUITE.reward("state")
def state_reward(completion: str, solution: str, task: str) -> float:
    """Return 1 if the whole answer is yes or no, as the solution is, else 0."""
    if task != "state":
        return 0.0
    said, meant = (_content(text).lower().removesuffix(".") for text in (completion, solution))
    return float(said in ("yes", "no") and said == meant)


@SUITE.reward("grounding")
def grounding_reward(completion: str, solution: str, task: str) -> float:
    """Return ROUGE-1 F + BLEU-4, within [0, 2]."""
    if task != "grounding":
        return 0.0
    said, meant = _content(completion), _content(solution)
    if not said or not meant:
        return 0.0
    return _rouge1(said, meant) + bleu(tokens(said), tokens(meant))


def _tagged(text: str, tag: str) -> str | None:
    """Return what the first literal ``tag`` that is closed holds, if there is one."""
    _, opening, rest = text.partition(f"<{tag}>")
    inside, closing, _ = rest.partition(f"</{tag}>")
    return bounded(inside) if opening and closing else None


def _content(text: str) -> str:
    """Return what the first answer tag holds (blanks in its brackets are allowed), else all."""
    opening = _OPENING.search(text)
    closing = opening and _CLOSING.search(text, opening.end())
    inside = text[opening.end() : closing.start()] if opening and closing else text
    return bounded(inside.strip())


def _json_list(text: str | None) -> list[Any] | None:
    try:
        items = json.loads((text or "").strip())
    except (ValueError, RecursionError):
        return None
    return items if isinstance(items, list) else None


def _has_four_numbers(item: Any) -> bool:
    box = item.get("bbox_2d") if isinstance(item, dict) else None
    # To Python, as the published code asks it, true and false are numbers too.
    return isinstance(box, list) and len(box) == 4 and all(isinstance(x, int | float) for x in box)


def _items(text: str) -> list[Item] | None:
    """Return the boxes and labels of an answer; None if it or one of them is not as it should."""
    values = _json_list(_tagged(text, "answer"))
    items = values and [_item(value) for value in values]
    return None if items and (None in items or len(items) > MOST_BOXES) else items


def _item(value: Any) -> Item | None:
    box = value.get("bbox_2d") if isinstance(value, dict) else None
    if not isinstance(box, list) or len(box) != 4 or not isinstance(value.get("label"), str):
        return None
    try:
        x1, y1, x2, y2 = map(float, box)
    except (TypeError, ValueError, OverflowError):
        return None
    return ([x1, y1, x2, y2], value["label"].strip()) if x2 > x1 and y2 > y1 else None


def _matched_means(predicted: list[Item], true: list[Item]) -> tuple[float, float]:
    """Return the means of IoU and of the labels' ROUGE-1 over the Hungarian-matched pairs."""
    from scipy.optimize import linear_sum_assignment

    # JSON as Python reads it has Infinity: a union that is no number gives 0.
    with np.errstate(invalid="ignore", over="ignore"):
        ious = iou_matrix([box for box, _ in predicted], [box for box, _ in true])
    pairs = linear_sum_assignment(1 - ious)
    labels = [_label_rouge1(predicted[i][1], true[j][1]) for i, j in np.transpose(pairs)]
    return float(ious[pairs].mean()), sum(labels) / len(labels)


def _label_rouge1(label: str, true: str) -> float:
    return _rouge1(label, true) if label and true else float(label == true)


@functools.lru_cache(maxsize=1 << 14)  # the package is slow, and labels recur
def _rouge1(hypothesis: str, reference: str) -> float:
    """Return the F of ROUGE-1 of the package ``rouge``, 0 where it fails: on a lone full stop."""
    try:
        return float(_rouge().get_scores(hypothesis, reference)[0]["rouge-1"]["f"])
    except (ValueError, RecursionError):
        return 0.0


@functools.cache
def _rouge() -> Any:
    from rouge import Rouge

    return Rouge(metrics=["rouge-1"], stats=["f"])
