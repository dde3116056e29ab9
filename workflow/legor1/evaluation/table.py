"""The ``scores.json`` of all experiments and protocols → ``table.csv``, one line a number."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from legor1.core.errors import UserError
from legor1.core.files import read_json, write_text

COLUMNS = ("experiment", "protocol", "task", "metric", "value", "low", "high", "n")
DECIMALS = 6
COUNTS = ("n", "left_out", "clusters")  # numbers of scores.json that are no metrics
NO_INTERVAL = {"low": None, "high": None}

Named = Iterable[tuple[str, Path | str]]
Number = float | None
Entry = tuple[str, str, str, str, Number, Number, Number, int]


def table(scores: Named) -> pd.DataFrame:
    """Return one row a metric: fractions, NaN where there is no value or interval.

    ``scores`` are (experiment, one of its ``scores.json``), one pair a protocol; the order is kept.
    A UserError names a file that holds no scores.
    """
    listed = [row for name, path in scores for row in rows(name, path)]
    frame = pd.DataFrame(listed, columns=COLUMNS)
    return frame.astype({"value": float, "low": float, "high": float, "n": int})


def write_table(scores: Named, out: Path | str) -> None:
    """Write the table of ``scores`` as CSV: six decimals, empty where there is no number."""
    text = table(scores).to_csv(index=False, lineterminator="\n", float_format=f"%.{DECIMALS}f")
    write_text(out, text)


def rows(experiment: str, path: Path | str) -> list[Entry]:
    """Return the rows of one ``scores.json``, None for no number; raises as ``table``."""
    scores = read_json(path)
    try:
        source = experiment, scores["protocol"]
        return [
            (*source, task, name, value, ends["low"], ends["high"], data["n"])
            for task, data in scores["tasks"].items()
            for name, value in data.items()
            if name not in COUNTS and (value is None or isinstance(value, int | float))
            for ends in [data.get("intervals", {}).get(name, NO_INTERVAL)]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} holds no scores ({error!r}). Remedy: make it again with `legor1 score`."
        ) from error
