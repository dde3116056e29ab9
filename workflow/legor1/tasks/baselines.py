"""Predictions that cost nothing: what a model must beat before its numbers mean anything.

Each baseline answers the tasks that it has an answer for:

- ``always_yes``: state, Yes.
- ``copy_demonstration``: every task, the answer of the last demonstration, as it stands there; an
  empty answer, which is a miss, where no demonstration is shown.
- ``mean_box``: object, one box: the mean of all train boxes relative to their images' sides, with
  the most frequent label.
- ``previous_instruction``: grounding, what the step before said; empty where the prompt has none.
"""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from legor1.core import files
from legor1.core.errors import UserError
from legor1.tasks.parsing import parse_objects

Row = dict[str, Any]
Answer = Callable[[Row], str]

NAMES = ("always_yes", "copy_demonstration", "mean_box", "previous_instruction")
PREVIOUS = "Previous instruction: "  # begins the first line of a prompt that has one
REQUIRED = ("instance_id", "task", "manual", "width", "height", "prompt", "response")


def baselines(train: list[Row], test: list[Row]) -> dict[str, list[Row]]:
    """Return baseline → its predictions for the test conversations, in their order.

    Raises:
        UserError: the test set has object rows, but the train set has no box to take a mean of.
    """
    answers: dict[str, tuple[tuple[str, ...], Answer]] = {
        "always_yes": (("state",), lambda row: "Yes."),
        "copy_demonstration": (("object", "grounding", "state"), _copied),
        "mean_box": (("object",), _mean_box(train)),
        "previous_instruction": (("grounding",), _previous),
    }
    return {
        name: [_prediction(row, answer) for row in test if row["task"] in tasks]
        for name, (tasks, answer) in answers.items()
    }


def write_baselines(train: Path | str, test: Path | str, out: Path | str) -> dict[str, int]:
    """Write ``out``/<baseline>.jsonl for each of ``NAMES``; return how many rows each has."""
    rows = [files.read_jsonl(path, (*REQUIRED, "demonstrations")) for path in (train, test)]
    return {
        name: files.write_jsonl(Path(out) / f"{name}.jsonl", predictions)
        for name, predictions in baselines(*rows).items()
    }


def _prediction(row: Row, answer: Answer) -> Row:
    facts = ("instance_id", "task", "manual", "image", "width", "height")
    said = {"prediction": answer(row), "reference": row["response"]}
    return {"schema_version": 1} | {name: row[name] for name in facts if name in row} | said


def _copied(row: Row) -> str:
    shown = row["demonstrations"]
    return shown[-1]["response"] if shown else ""


def _previous(row: Row) -> str:
    first, _, _ = row["prompt"].partition("\n")
    return first.removeprefix(PREVIOUS) if first.startswith(PREVIOUS) else ""


def _mean_box(train: list[Row]) -> Answer:
    boxes, labels = [], Counter[str]()
    for row in train:
        for item in parse_objects(row["response"]) or [] if row["task"] == "object" else []:
            boxes.append(np.array(item.box) / _sides(row))
            labels[item.label] += 1
    if not boxes:
        return _no_box
    mean = np.mean(boxes, axis=0)
    label = min(labels, key=lambda name: (-labels[name], name))  # of equally frequent, the first

    def answer(row: Row) -> str:
        box = (mean * _sides(row)).round().astype(int).tolist()
        return json.dumps([{"bbox_2d": box, "label": label}], ensure_ascii=False)

    return answer


def _no_box(row: Row) -> str:
    raise UserError(
        f"{row['instance_id']} asks for boxes, but the train conversations have none to take a "
        "mean of. Remedy: give the train.jsonl that belongs to this test.jsonl."
    )


def _sides(row: Row) -> np.ndarray:
    return np.array([row["width"], row["height"]] * 2, dtype=float)
