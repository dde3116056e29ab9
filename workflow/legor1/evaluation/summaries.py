"""What ``scores.json`` says of a task under the sound protocol besides metrics with intervals."""

from collections.abc import Callable
from typing import Any

import numpy as np

from legor1.evaluation.task_metrics import SOUND
from legor1.tasks.metrics import average_precision, binary, box_frame, text
from legor1.tasks.parsing import parse_objects

Row = dict[str, Any]
SIZES = ("width", "height", "processed_width", "processed_height")


def _object(rows: list[Row], _: np.ndarray) -> dict[str, Any]:
    """Return AP with its rule, and the frame diagnostic where rows have both image sizes."""
    pairs = [(parse_objects(row["prediction"]), parse_objects(row["reference"])) for row in rows]
    boxes = [[[item.box for item in side or ()] for side in pair] for pair in pairs]
    values = average_precision.average_precision([(said, true) for said, true in boxes])
    precision = {name: None if np.isnan(value) else value for name, value in values.items()}
    found = box_frame.diagnose(
        box_frame.Image(
            said or (),
            true or (),
            (row["width"], row["height"]),
            (row["processed_width"], row["processed_height"]),
        )
        for row, (said, true) in zip(rows, pairs, strict=True)
        if all(_is_side(row.get(name)) for name in SIZES)
    )
    return precision | {"ap_rule": average_precision.rule()} | ({"frame": found} if found else {})


def _grounding(_: list[Row], __: np.ndarray) -> dict[str, Any]:
    return {"bleu_signature": text.bleu_signature()}


def _state(_: list[Row], totals: np.ndarray) -> dict[str, Any]:
    named = dict(zip(SOUND["state"].features, totals, strict=True))
    return {"confusion": {cell: int(named[cell]) for cell in binary.CELLS}}


def _is_side(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


SUMMARIES: dict[str, Callable[[list[Row], np.ndarray], dict[str, Any]]] = {
    "object": _object,
    "grounding": _grounding,
    "state": _state,
}
