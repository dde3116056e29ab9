"""The study's own rewards, each in [0, 1]: lenient in reading, hard to game.

A reward returns None for a task that is not its own, so that the trainer leaves the sample out
rather than counting it as a failure.
"""

import functools
import re

import numpy as np

from legor1.core.boxes import iou_matrix
from legor1.tasks.metrics.detection import match
from legor1.tasks.metrics.text import rouge, token_f1
from legor1.tasks.parsing import Detection, extract, parse_objects, parse_state

LABEL_SHARE = 0.2  # of a matched pair's IoU: what a wrong label costs

_MARKUP = re.compile(r"[\[\]{}<>]")

_label_f1 = functools.lru_cache(maxsize=4096)(token_f1)


@functools.lru_cache(maxsize=256)  # two rewards read a completion, and a group has one solution
def _objects(text: str) -> tuple[list[Detection] | None, bool]:
    """Return the boxes in a text, and whether they stand there as the prompt asks."""
    strict = parse_objects(text, strict=True)
    return (strict, True) if strict is not None else (parse_objects(text), False)


def infer_task(solution: str) -> str:
    """Return which task a solution belongs to: boxes, a bare yes or no, or else grounding."""
    if _objects(solution)[0] is not None:
        return "object"
    bare = extract(solution).lower().removesuffix(".") in ("yes", "no")
    return "state" if bare else "grounding"


def format_reward(completion: str, solution: str, task: str) -> float:
    """Return 1 for an answer of the form that was asked for, 0.5 for one that can still be read.

    Grounding asks for prose, so there is no half: words without JSON or tags, or not.
    """
    if task == "grounding":
        prose = extract(completion)
        return float(bool(re.search(r"\w", prose)) and not _MARKUP.search(prose))
    if task == "object":
        items, strict = _objects(completion)
        readable = items is not None
    else:
        strict = parse_state(completion, strict=True) is not None
        readable = parse_state(completion) is not None
    return 1.0 if strict else 0.5 * readable


def object_reward(completion: str, solution: str, task: str) -> float | None:
    """Return the matched pairs' IoU, weighed by label agreement, / max(number true, predicted).

    Labels count only where boxes overlap, and every box too many or too few divides the sum, so
    neither an empty list nor a thousand boxes, nor labels without boxes, gain anything.

    Raises:
        ValueError: the solution is not an object answer.
    """
    if task != "object":
        return None
    true, predicted = _objects(solution)[0], _objects(completion)[0]
    if true is None:
        raise ValueError(f"not the solution of an object task: {solution[:80]!r}")
    if predicted is None:
        return 0.0
    if not predicted and not true:
        return 1.0
    gain = _agreement(predicted, true)
    return float(gain[match(gain)].sum()) / max(gain.shape)


def state_reward(completion: str, solution: str, task: str) -> float | None:
    """Return 1 if the completion says the solution's yes or no, else 0.

    Raises:
        ValueError: the solution is neither.
    """
    if task != "state":
        return None
    true = parse_state(solution)
    if true is None:
        raise ValueError(f"not the solution of a state task: {solution[:80]!r}")
    return float(parse_state(completion) is true)


def grounding_reward(completion: str, solution: str, task: str) -> float | None:
    """Return the mean of ROUGE-L (F, stemmed) and of the F1 of the words."""
    if task != "grounding":
        return None
    said, meant = extract(completion), extract(solution)
    return (rouge(said, meant, ("rougeL",))["rougeL"] + token_f1(said, meant)) / 2


REWARDS = {
    "format": format_reward,
    "object": object_reward,
    "state": state_reward,
    "grounding": grounding_reward,
}


def _agreement(predicted: list[Detection], true: list[Detection]) -> np.ndarray:
    ious = iou_matrix([item.box for item in predicted], [item.box for item in true])
    for row, column in zip(*(places.tolist() for places in ious.nonzero()), strict=True):
        labels = _label_f1(predicted[row].label, true[column].label)
        ious[row, column] *= 1 - LABEL_SHARE * (1 - labels)
    return ious
