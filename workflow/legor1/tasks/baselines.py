"""Predictions that cost nothing: what a model must beat before its numbers mean anything.

A task brings the baselines that have an answer for it alone. One serves every task:
``copy_demonstration``, the answer of the last demonstration as it stands there; an empty answer,
which is a miss, where no demonstration is shown.
"""

from pathlib import Path

from legor1.core import files
from legor1.tasks.discovery import TASKS
from legor1.tasks.task import Answer, Row

COPIED = "copy_demonstration"
NAMES = tuple(sorted({COPIED, *(name for task in TASKS.values() for name in task.baselines)}))
REQUIRED = ("instance_id", "task", "manual", "width", "height", "prompt", "response")


def baselines(train: list[Row], test: list[Row]) -> dict[str, list[Row]]:
    """Return baseline → its predictions for the test conversations, in their order.

    A UserError if the train set lacks what one of them needs.
    """
    answers: dict[tuple[str, str], Answer] = {}  # by baseline and task
    for task in TASKS.values():
        own = [row for row in train if row["task"] == task.name]
        answers |= {(name, task.name): make(own) for name, make in task.baselines.items()}
        answers[COPIED, task.name] = _copied
    return {
        name: [
            _prediction(row, answers[name, row["task"]])
            for row in test
            if (name, row["task"]) in answers
        ]
        for name in NAMES
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
    texts = {"prediction": answer(row), "reference": row["response"]}
    return {"schema_version": 1} | {name: row[name] for name in facts if name in row} | texts


def _copied(row: Row) -> str:
    shown = row["demonstrations"]
    return shown[-1]["response"] if shown else ""
