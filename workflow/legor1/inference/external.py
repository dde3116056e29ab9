"""Answers from elsewhere: what another program wrote, as the predictions of an experiment.

A line is JSON with the answer under one of ``ANSWERS``. It belongs to the conversation whose
``instance_id`` it names. Where no line names one, the lines must be as many as the conversations
and in their order, and each line's question, if it has one, must hold its conversation's: so
LLaMA-Factory and ms-swift write what they were given by ``legor1 export``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from legor1.core.boxes import rescale_text, to_original
from legor1.core.errors import UserError
from legor1.core.files import read_jsonl, write_jsonl
from legor1.inference.prediction_file import FACTS, describe
from legor1.models.family import Recipe
from legor1.models.registry import base_folder, family_of
from legor1.tasks.discovery import of_kind
from legor1.tasks.metrics.box_frame import UNITS, Image, diagnose_frame
from legor1.tasks.parsing import parse_objects

ANSWERS = ("completion", "prediction", "predict", "response", "output")
QUESTIONS = ("prompt", "messages")  # text, or turns of a chat
# Frames of conversations by the names of ``box_frame.UNITS``; else it is the model family's.
ASKED = {"original": "original", "percent": "percent", "percent_json": "percent"}

Line = dict[str, Any]


def take_answers(answers: Path, recipe: Recipe, conversations: Path, base: Path, out: Path) -> int:
    """Write the predictions that ``answers`` are, in the order of ``conversations``.

    ``recipe`` says the pixel budget and the ``frame`` of the boxes: ``asked``, as the conversations
    ask for them, or one of ``box_frame.UNITS``. Returns how many there are.

    Raises:
        UserError: an answer is missing, belongs to no conversation, or is no text; or its boxes are
            surely in another frame.
    """
    rows = read_jsonl(conversations, [*FACTS, "prompt", "response", "box_frame", "variant"])
    lines = matched(answers, read_jsonl(answers), rows)
    budget = family_of(base_folder(base)).budget(**recipe["pixel_budget"])
    frame, predictions = recipe["frame"], []
    for row, line in zip(rows, lines, strict=True):
        text, size = _answer(answers, row, line), (row["width"], row["height"])
        if frame == "asked":
            converted = to_original(text, size, budget, row["box_frame"])
        else:
            converted = rescale_text(text, UNITS[frame](size, budget.processed_size(size)), size)
        predictions.append(describe(row, budget, text, converted))
    own = "thousandths" if budget.box_scale else "processed"
    asked = {ASKED.get(row["box_frame"], own) for row in rows}
    _check_frame(answers, predictions, asked if frame == "asked" else {frame})
    return write_jsonl(out, predictions)


def matched(file: Path, lines: Sequence[Line], rows: Sequence[Line]) -> list[Line]:
    """Return the line of each row, by instance id, else by order; raises as ``take_answers``."""
    ids = [line.get("instance_id") for line in lines]
    if not any(ids):
        return _in_order(file, lines, rows)
    known = {row["instance_id"] for row in rows}
    found: dict[str, Line] = {}
    for number, (name, line) in enumerate(zip(ids, lines, strict=True), 1):
        if not isinstance(name, str) or name not in known or name in found:
            what = "answers a second time" if name in found else "is not among the test instances"
            raise UserError(
                f"{file}, line {number}: instance_id {name!r} {what}. Remedy: answer each line of "
                "test.jsonl once, under its own instance_id."
            )
        found[name] = line
    missing = sorted(known - found.keys())
    if missing:
        raise UserError(
            f"{file} has no answer to {missing[0]}, and lacks {len(missing)} of {len(rows)}. "
            "Remedy: answer every line of test.jsonl; an empty answer counts as a wrong one."
        )
    return [found[row["instance_id"]] for row in rows]


def _in_order(file: Path, lines: Sequence[Line], rows: Sequence[Line]) -> list[Line]:
    remedy = "Remedy: give each line the instance_id of its test conversation."
    if len(lines) != len(rows):
        raise UserError(
            f"{file} has {len(lines)} lines without instance_id, the test conversations are "
            f"{len(rows)}, so the order cannot tell what belongs together. {remedy}"
        )
    for number, (line, row) in enumerate(zip(lines, rows, strict=True), 1):
        asked = question(line)
        if asked and _spaced(row["prompt"]) not in _spaced(asked):
            raise UserError(
                f"{file}, line {number} does not ask what {row['instance_id']} asks, "
                f"whose place it has. {remedy}"
            )
    return [*lines]


def question(line: Line) -> str:
    """Return all text of a line's question, empty if it has none."""
    asked = next((line[name] for name in QUESTIONS if line.get(name)), "")
    turns = asked if isinstance(asked, list) else [{"content": asked}]
    texts: list[object] = []
    for turn in turns:
        content = turn.get("content") if isinstance(turn, dict) else turn
        parts = content if isinstance(content, list) else [{"text": content}]
        texts += [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _answer(file: Path, row: Line, line: Line) -> str:
    text = next((line[name] for name in ANSWERS if name in line), None)
    if not isinstance(text, str):
        raise UserError(
            f"{file}: the line of {row['instance_id']} has no text under {', '.join(ANSWERS)}. "
            "Remedy: name the answer's key so."
        )
    return text


def _check_frame(file: Path, predictions: Sequence[Line], expected: set[str]) -> None:
    """Check that the boxes of completions are not surely in a frame that is not ``expected``."""
    found: Any = diagnose_frame(
        Image(
            parse_objects(row["completion"]) or (),
            parse_objects(row["reference"]) or (),
            (row["width"], row["height"]),
            (row["processed_width"], row["processed_height"]),
            row["manual"],
        )
        for row in predictions
        if row["task"] in of_kind("boxes")
    )
    if found and found["best"] and expected.isdisjoint((found["best"], *found["alike"])):
        raise UserError(
            f"{file}: its boxes are in the frame {found['best']}, not {' or '.join(expected)}. "
            "Remedy: set `frame` of the experiment; `legor1 frame` says more."
        )
