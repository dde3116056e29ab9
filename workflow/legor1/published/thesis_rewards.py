"""The published rewards to the letter, defects included.

``SUITE`` is the second iteration's. Its defect ``matched_only_reward``: IoU is averaged over
matched pairs, so missing and extra boxes cost only the bonus, and one bad box voids the answer. A
reward gives 0 to the tasks that are not its own, where the study's own leave the sample out. A
solution stands in an answer tag: ``<answer>…</answer>``.

``CONFIGURATION1`` and ``CONFIGURATION2`` are the first iteration's, shown in Figure 1: boxes only.
Answers are ``<p>label</p> {<x1><y1><x2><y2>}`` repeated, in percent of the image's sides; labels
do not count. What the thesis leaves open is settled so: a text fails to parse if it has no box, or
a ``<p>`` that is no whole item; normalising a coordinate to [0, 100] is clipping it, since a
reward does not know the image's size.
"""

import functools
import json
import re

import numpy as np

from legor1.core.boxes import Box, iou_matrix
from legor1.tasks import parsing
from legor1.tasks.metrics.detection import match
from legor1.tasks.metrics.text import nltk_bleu, nltk_tokens
from legor1.tasks.rewards import Reward, Suite

BONUS = 0.1  # for as many boxes as there should be, and for a coordinate inside the image
FARTHEST = 100.0
PENALTY = 0.5

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


SUITE = Suite(infer_task, solution)
CONFIGURATION1, CONFIGURATION2 = Suite(percent=True), Suite(percent=True)


@SUITE.reward("format")
def format_reward(completion: str, solution: str, task: str) -> float:
    """Return 0.25 each for thinking, an answer, a JSON list in it, and boxes of four numbers.

    State and grounding: 0.5 each for thinking and an answer.
    """
    thinking = parsing.literal_tag(completion, "think") is not None
    answer = parsing.literal_tag(completion, "answer")
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
    return 0.0 if predicted is None or true is None else _matched_share(predicted, true)


@SUITE.reward("state")
def state_reward(completion: str, solution: str, task: str) -> float:
    """Return 1 if the whole answer is yes or no, as the solution is, else 0."""
    if task != "state":
        return 0.0
    answer, true = (_content(text).lower().removesuffix(".") for text in (completion, solution))
    return float(answer in ("yes", "no") and answer == true)


@SUITE.reward("grounding")
def grounding_reward(completion: str, solution: str, task: str) -> float:
    """Return ROUGE-1 F + BLEU-4, within [0, 2]."""
    if task != "grounding":
        return 0.0
    answer, true = _content(completion), _content(solution)
    if not answer or not true:
        return 0.0
    return _rouge1(answer, true) + nltk_bleu(nltk_tokens(answer), nltk_tokens(true))


def with_defects(sound: Suite) -> dict[str, Suite]:
    """Return the ``sound`` suite with each defect of the rewards alone, and with both.

    ``batch_task``: the task is guessed, and a reward gives 0 to what is no solution of the guessed
    one. ``matched_only_reward``: see ``matched_only``.
    """
    matched = {**sound.rewards, "object": matched_only}
    guessed, both = (
        {name: _lenient(reward) for name, reward in rewards.items()}
        for rewards in (sound.rewards, matched)
    )
    return {
        "batch_task": Suite(infer_task=infer_task, rewards=guessed),
        "matched_only_reward": Suite(rewards=matched),
        "matched_only_reward_batch_task": Suite(infer_task=infer_task, rewards=both),
    }


def matched_only(completion: str, solution: str, task: str) -> float | None:
    """Return ``object_reward`` of boxes that are read as the sound rewards read them, without tags.

    Missing and extra boxes cost the bonus alone, and one empty or inverted box voids the answer.
    """
    if task != "object":
        return None
    read = parsing.parse_objects(completion), parsing.parse_objects(solution)
    if read[1] is None:
        raise ValueError(f"not the solution of an object task: {solution[:80]!r}")
    predicted, true = ([([*item.box], item.label.strip()) for item in side or ()] for side in read)
    voided = any(x2 <= x1 or y2 <= y1 for (x1, y1, x2, y2), _ in predicted)
    return 0.0 if read[0] is None or voided else _matched_share(predicted, true)


def _lenient(reward: Reward) -> Reward:
    """Return ``reward``, but 0 where the solution is none of the task."""

    @functools.wraps(reward)
    def paid(**sample: object) -> float | None:
        try:
            return reward(**sample)
        except ValueError:
            return 0.0

    return paid


@CONFIGURATION1.reward("object")
def configuration1(completion: str, solution: str, task: str) -> float | None:
    """Return IoU (halved if a coordinate lies outside) + 0.1 for each coordinate inside.

    As many boxes as there should be give 0.1 more. The sum has no cap: n boxes, all inside, give
    at least 0.4 n, wherever they are.
    """
    if task != "object":
        return None
    predicted, true = _percent_boxes(completion), _percent_boxes(solution)
    if not predicted or not true:
        return 0.0
    coordinates = np.array(predicted)
    inside = (coordinates >= 0) & (coordinates <= FARTHEST)
    iou = _matched_mean(coordinates.clip(0, FARTHEST).tolist(), true)
    iou *= 1.0 if inside.all() else PENALTY
    return iou + BONUS * int(inside.sum()) + BONUS * (len(predicted) == len(true))


@CONFIGURATION2.reward("object")
def configuration2(completion: str, solution: str, task: str) -> float | None:
    """Return IoU, + 0.1 for as many boxes as there should be, at most 1.

    An answer that fails to parse, or has an empty or inverted box, gives 0.
    """
    if task != "object":
        return None
    predicted, true = _percent_boxes(completion), _percent_boxes(solution)
    if not predicted or not true or not all(x2 > x1 and y2 > y1 for x1, y1, x2, y2 in predicted):
        return 0.0
    return min(_matched_mean(predicted, true) + BONUS * (len(predicted) == len(true)), 1.0)


def _percent_boxes(text: str) -> list[Box]:
    """Return the boxes of an answer, none if it cannot be parsed."""
    body = parsing.extract(text)
    boxes = [item.box for item in parsing.parse_tagged(body)]
    return boxes if parsing.MOST_BOXES >= len(boxes) == body.lower().count("<p>") else []


def _matched_mean(predicted: list[Box], true: list[Box]) -> float:
    ious = iou_matrix(predicted, true)
    return float(ious[match(ious)].mean())


def _content(text: str) -> str:
    """Return what the first answer tag holds (blanks in its brackets are allowed), else all."""
    opening = _OPENING.search(text)
    closing = opening and _CLOSING.search(text, opening.end())
    inside = text[opening.end() : closing.start()] if opening and closing else text
    return parsing.bounded(inside.strip())


def _json_list(text: str | None) -> list[object] | None:
    try:
        items = json.loads(parsing.bounded(text or "").strip())
    except (ValueError, RecursionError):
        return None
    return items if isinstance(items, list) else None


def _has_four_numbers(item: object) -> bool:
    box = item.get("bbox_2d") if isinstance(item, dict) else None
    # To Python, as the published code asks it, true and false are numbers too.
    return isinstance(box, list) and len(box) == 4 and all(isinstance(x, int | float) for x in box)


def _items(text: str) -> list[Item] | None:
    """Return the boxes and labels of an answer; None if it or one of them is not as it should."""
    values = _json_list(parsing.literal_tag(text, "answer"))
    if values is None:
        return None
    items = [item for value in values if (item := _item(value))]
    return items if len(items) == len(values) <= parsing.MOST_BOXES else None


def _item(value: object) -> Item | None:
    if not isinstance(value, dict) or not isinstance(value.get("label"), str):
        return None
    box = parsing.four_floats(value.get("bbox_2d"))
    if box and box[2] > box[0] and box[3] > box[1]:
        return box, value["label"].strip()
    return None


def _matched_share(predicted: list[Item], true: list[Item]) -> float:
    """Return the mean of IoU and of the labels' ROUGE-1 over the matched pairs, with the bonus.

    Nothing against nothing is 1, and against something 0.
    """
    from scipy.optimize import linear_sum_assignment

    if not predicted or not true:
        return float(bool(predicted) == bool(true))
    # JSON as Python reads it has Infinity: a union that is no number gives 0.
    with np.errstate(invalid="ignore", over="ignore"):
        ious = iou_matrix([box for box, _ in predicted], [box for box, _ in true])
    pairs = linear_sum_assignment(1 - ious)
    labels = [(predicted[i][1], true[j][1]) for i, j in np.transpose(pairs)]
    rouge = [_rouge1(a, b) if a and b else float(a == b) for a, b in labels]
    mean = (float(ious[pairs].mean()) + sum(rouge) / len(rouge)) / 2
    return min(mean + BONUS * (len(predicted) == len(true)), 1.0)


@functools.lru_cache(maxsize=1 << 14)  # the package is slow, and labels recur
def _rouge1(hypothesis: str, reference: str) -> float:
    """Return the F of ROUGE-1 of the package ``rouge``, 0 where it fails: on a lone full stop."""
    from rouge import Rouge

    try:
        scores = Rouge(metrics=["rouge-1"], stats=["f"]).get_scores(hypothesis, reference)
    except (ValueError, RecursionError):
        return 0.0
    return float(scores[0]["rouge-1"]["f"])
