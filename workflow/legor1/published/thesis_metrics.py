"""The published evaluation to the letter, its defects (see ``defects``) included.

Only the scoring of the ``thesis`` protocol imports this; the other metrics know nothing of it.

- ``summed_iou``: the IoU of an example is a sum over matched pairs, so it can exceed 1.
- ``set_over_list_f1``: shared words are counted as a set, but divided by lists with repeats.
- ``quote_replacement``: every apostrophe becomes a quote, so one in a label breaks the answer.
- ``skipped_answers``: a state answer without yes or no is None, and is not counted.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from legor1.core.boxes import iou_matrix
from legor1.tasks import parsing
from legor1.tasks.metrics import binary
from legor1.tasks.metrics.text import ROUGE, nltk_bleu, nltk_tokens, rouge
from legor1.tasks.task import Scoring, means

_DIGITS_THEN_LETTER = re.compile(r"\b(\d+)\s*([a-zA-Z])")
_LETTER_THEN_DIGITS = re.compile(r"\b([a-zA-Z])\s*(\d+)\b")
_OF_BOXES = frozenset({"summed_iou", "set_over_list_f1", "quote_replacement"})
Read = tuple[list[list[float]], list[str]]  # the boxes and labels of an answer
Measure = Callable[[str, str], Mapping[str, float]]


def object_scores(prediction: str, reference: str) -> tuple[float, float]:
    """Return (IoU summed over the Hungarian-matched pairs, F1 of the labels' words).

    Both are 0 where either side has no box. F1 lies within [0, 1]; the sum goes up to the number
    of pairs.
    """
    return _scores(_boxes_and_labels(prediction), _boxes_and_labels(reference))


def grounding_scores(prediction: str, reference: str) -> tuple[float, float, float, float, float]:
    """Return (F1-theme, ROUGE-1, ROUGE-2, ROUGE-L, BLEU), each within [0, 1].

    F1-theme is the F1 of which words occur, however often; ROUGE is the F-measure with stemming
    of rouge-score; BLEU is NLTK's sentence BLEU, 0 for a reference without words.
    """
    answer, true = _answer(prediction), _answer(reference)
    words, true_words = nltk_tokens(answer), nltk_tokens(true)
    rouge1, rouge2, rouge_l = rouge(answer, true).values()
    return _theme_f1(words, true_words), rouge1, rouge2, rouge_l, nltk_bleu(words, true_words)


def state_answer(text: str) -> bool | None:
    """Return whether the first whole word yes or no is yes; None without either."""
    return parsing.yes_or_no(_answer(text))


def with_defects(sound: Mapping[str, Scoring], defects: Collection[str]) -> dict[str, Scoring]:
    """Return the ``sound`` scoring of each task with some of the published defects on.

    With all of them, IoU, F1-object, F1-state and FPR are the published ones. ``quote_replacement``
    is the published reading of boxes as a whole. No defect concerns grounding.
    """
    made, of_boxes = dict(sound), _OF_BOXES & set(defects)
    if of_boxes:
        measure = partial(_measure_boxes, sound["object"].measure, of_boxes)
        made["object"] = replace(sound["object"], measure=measure)
    if "skipped_answers" in defects:
        measure = partial(_measure_answered, sound["state"].measure)
        made["state"] = replace(sound["state"], measure=measure)
    return made


def _measure_boxes(
    sound: Measure, defects: frozenset[str], prediction: str, reference: str
) -> dict[str, float]:
    quoted = "quote_replacement" in defects
    read = _boxes_and_labels if quoted else _read_soundly
    answer, true = read(prediction), read(reference)
    if quoted:
        prediction, reference = _as_json(*answer), _as_json(*true)
    numbers, (iou, f1) = dict(sound(prediction, reference)), _scores(answer, true)
    nothing = quoted and not (answer[0] and true[0])
    if "summed_iou" in defects or nothing:
        numbers["iou"] = iou
    if "set_over_list_f1" in defects or nothing:
        numbers["f1_object"] = f1
    return numbers


def _measure_answered(sound: Measure, prediction: str, reference: str) -> dict[str, float]:
    numbers = dict(sound(prediction, reference))
    predicted, true = state_answer(prediction), state_answer(reference)
    if predicted is None or true is None:
        return dict.fromkeys(numbers, 0.0)
    return numbers | dict(zip(binary.CELLS, binary.confusion(predicted, true), strict=True))


def _read_soundly(text: str) -> Read:
    items = parsing.parse_objects(text) or []
    return [[*item.box] for item in items], [item.label for item in items]


def _as_json(boxes: list[list[float]], labels: list[str]) -> str:
    items = zip(boxes, labels, strict=True)
    return json.dumps([{"bbox_2d": box, "label": label} for box, label in items])


def _answer(text: str) -> str:
    """Return what the first literal answer tag that is closed holds, else the whole text.

    Unlike the published code, nothing of an answer of more than ``parsing.LONGEST`` characters.
    """
    inside = parsing.literal_tag(text, "answer")
    return parsing.bounded((text if inside is None else inside).strip())


def _boxes_and_labels(text: str) -> Read:
    """Return the boxes and labels of an answer, both empty if it cannot be parsed."""
    text = _answer(text).replace("'", '"')
    text = _LETTER_THEN_DIGITS.sub(r"\1 \2", _DIGITS_THEN_LETTER.sub(r"\1 \2", text))
    text = text if text.startswith("[") else f"[{text}"
    text = text if text.endswith("]") else f"{text}]"
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        return [], []
    boxes, labels = [], []
    for item in items:
        box = parsing.four_floats(item.get("bbox_2d")) if isinstance(item, dict) else None
        if box is None:
            continue
        label = item.get("label", "")
        if not isinstance(label, str):  # it cannot be stripped: a failure to parse
            return [], []
        boxes.append(box)
        labels.append(label.strip())
    return (boxes, labels) if len(boxes) <= parsing.MOST_BOXES else ([], [])


def _scores(answer: Read, true: Read) -> tuple[float, float]:
    from scipy.optimize import linear_sum_assignment

    if not answer[0] or not true[0]:
        return 0.0, 0.0
    # JSON as Python reads it has NaN and Infinity: a union that is no number gives 0.
    with np.errstate(invalid="ignore", over="ignore"):
        ious = iou_matrix(answer[0], true[0])
    return float(ious[linear_sum_assignment(1 - ious)].sum()), _label_f1(answer[1], true[1])


def _label_f1(labels: list[str], true_labels: list[str]) -> float:
    words, true_words = nltk_tokens(" ".join(labels)), nltk_tokens(" ".join(true_labels))
    common = len(set(words) & set(true_words))
    if not common:
        return 0.0
    precision, recall = common / len(words), common / len(true_words)
    return 2 * precision * recall / (precision + recall)


def _theme_f1(words: list[str], true_words: list[str]) -> float:
    present, truly = set(words), set(true_words)
    total = len(present) + len(truly)
    return 2 * len(present & truly) / total if total else 0.0


def _by_means(
    scores: Callable[[str, str], tuple[float, ...]], names: tuple[str, ...], *secondary: str
) -> Scoring:
    """Return the scoring by the means of an example's ``scores``, the first of them the main."""
    features = (*names, "counted")

    def measure(prediction: str, reference: str) -> dict[str, float]:
        return dict(zip(features, (*scores(prediction, reference), 1), strict=True))

    return Scoring(features, measure, means(*names), main=names[0], secondary=secondary)


_STATE = (*binary.CELLS, "counted")
SCORING = {  # the thesis has these tasks alone
    "object": _by_means(object_scores, ("iou", "f1_object"), "f1_object"),
    "grounding": _by_means(
        grounding_scores, ("f1_theme", *ROUGE, "bleu"), "rouge1", "rougeL", "bleu"
    ),
    "state": Scoring(
        features=_STATE,
        measure=partial(_measure_answered, lambda *_: dict.fromkeys(_STATE, 1)),
        metrics={"f1_state": binary.f1, "fpr": binary.fpr},
        main="f1_state",
        secondary=("fpr",),
        undefined=0.0,
    ),
}
