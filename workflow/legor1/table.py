"""The ``scores.json`` of all experiments → ``table.csv``, one line a number."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legor1.errors import UserError
from legor1.files import read_json, write_text

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("experiment", "protocol", "task", "metric", "value", "low", "high", "n")
DECIMALS = 6


def table(scores: Mapping[str, Path | str]) -> "pd.DataFrame":
    """Return one row a metric: fractions, NaN where there is no value or interval.

    Args:
        scores: experiment → its ``scores.json``; the experiments keep this order.

    Raises:
        UserError: a file is missing or holds no scores.
    """
    import pandas as pd

    rows = [row for name, path in scores.items() for row in _rows(name, path)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype({"value": float, "low": float, "high": float, "n": int})


def write_table(scores: Mapping[str, Path | str], path: Path | str) -> None:
    """Write the table of ``scores`` as CSV: six decimals, empty where there is no number."""
    frame = table(scores)
    for column in ("value", "low", "high"):
        frame[column] = [_decimal(number) for number in frame[column]]
    write_text(path, frame.to_csv(index=False, lineterminator="\n"))


def _rows(experiment: str, path: Path | str) -> list[tuple[Any, ...]]:
    scores = read_json(path)
    try:
        return [
            (experiment, scores["protocol"], task, name, m["value"], m["low"], m["high"], data["n"])
            for task, data in scores["tasks"].items()
            for name, m in data.items()
            if isinstance(m, dict)
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} holds no scores ({error!r}). Remedy: make it again with `legor1 score`."
        ) from error


def _decimal(number: float) -> str:
    return "" if math.isnan(number) else f"{number:.{DECIMALS}f}"
