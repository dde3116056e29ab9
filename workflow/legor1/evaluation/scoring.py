"""Predictions → ``scores.json`` and ``per_example.parquet``, under one protocol.

``per_example.parquet`` has a row an example, sorted by ``instance_id``; beside it ``task``,
``manual`` (the cluster; a row without one is its own), then the protocol's metrics, then the
features that they are made of. A metric there is that of the example alone, and null where one
example has none: the F1 of one state answer is 1 or 0, or null where it concerns no Yes. So the
mean of a column is the metric of all only for metrics that are means; those of all follow from the
sums of the features.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from legor1.core.errors import UserError
from legor1.core.files import atomic, read_jsonl, write_json
from legor1.core.seeding import generator
from legor1.evaluation import resampling
from legor1.published import thesis_metrics
from legor1.tasks.discovery import TASKS
from legor1.tasks.parsing import too_long
from legor1.tasks.task import Row, Scoring

# How each task is scored: by the tasks themselves, and as it was published.
SOUND = {name: task.scoring for name, task in TASKS.items()}
PROTOCOLS = {"sound": SOUND, "thesis": thesis_metrics.SCORING}
SURROGATE = re.compile("[\ud800-\udfff]")  # no file can hold one
IDENTITY = ("instance_id", "task", "manual")
REQUIRED = ("instance_id", "task", "prediction", "reference")
AS_SHOWN = ("completion", "file_reference")  # in the file's own numbers, both
METHOD = "percentile bootstrap, clustered by manual"


@dataclass(frozen=True)
class Bootstrap:
    """What is drawn, and how often."""

    replicates: int = 10_000  # and rounds of the test of a difference
    confidence: float = 0.95  # of the intervals, between 0 and 1
    seed: int = 42

    def described(self) -> dict[str, object]:
        """Return what the results say of their intervals."""
        return {"method": METHOD} | vars(self)

    def interval(self, drawn: np.ndarray) -> dict[str, float | None]:
        """Return the ends of the interval of one statistic, by name, from its replicates."""
        low, high = resampling.percentile(drawn, self.confidence)
        return {"low": finite(low), "high": finite(high)}


BOOTSTRAP = Bootstrap()


def score(
    predictions: list[Row],
    *,
    protocol: str = "sound",
    settings: Bootstrap = BOOTSTRAP,
    source: Path | str | None = None,
) -> tuple[Row, pd.DataFrame]:
    """Score predictions; return what goes into ``scores.json``, and a row an example.

    Args:
        predictions: rows with the keys in ``REQUIRED``, and perhaps ``manual``; a UserError names
            one that cannot be scored.
        protocol: one of ``PROTOCOLS``; ``thesis`` has no intervals.
        source: the file that errors name.
    """
    by_task = examples(predictions, PROTOCOLS[protocol], source, as_shown=protocol == "thesis")
    tasks: Row = {}
    for name, own in by_task.items():
        scoring = PROTOCOLS[protocol][name]
        totals = own[list(scoring.features)].to_numpy().sum(axis=0)
        rows = [row for row in predictions if row["task"] == name]
        metrics = zip(scoring.metrics, map(finite, scoring.values(totals)), strict=True)
        tasks[name] = _counts(own, rows) | dict(metrics)
        if protocol == "sound":
            rows.sort(key=lambda row: row["instance_id"])
            rng = generator(settings.seed, "bootstrap", name)
            sums = resampling.resampled(clustered(own, scoring), settings.replicates, rng)
            drawn = zip(scoring.metrics, scoring.statistics(sums).T, strict=True)
            tasks[name]["intervals"] = {metric: settings.interval(one) for metric, one in drawn}
            tasks[name] |= TASKS[name].summary(rows, totals)
    scores: Row = {"schema_version": 1, "protocol": protocol}
    if protocol == "sound":
        scores["interval"] = settings.described()
    return scores | {"tasks": tasks}, _per_example(by_task, protocol)


def write_scores(
    path: Path | str, out_dir: Path | str, protocol: str = "sound", settings: Bootstrap = BOOTSTRAP
) -> Row:
    """Score a ``predictions.jsonl`` as ``score`` does; write and return the scores."""
    rows = read_jsonl(path, REQUIRED)
    scores, frame = score(rows, protocol=protocol, settings=settings, source=path)
    with atomic(Path(out_dir) / "per_example.parquet") as temporary:
        frame.to_parquet(temporary, index=False)
    write_json(Path(out_dir) / "scores.json", scores)
    return scores


def finite(number: float) -> float | None:
    """Return ``number``, or None where it is none: JSON has no NaN."""
    return float(number) if math.isfinite(number) else None


def _counts(examples: pd.DataFrame, rows: list[Row]) -> Row:
    """Return how many examples and manuals there are, and answers left out or too long, if any."""
    counted = examples["counted"] > 0
    counts = {"n": int(counted.sum())}
    if left_out := int((~counted).sum()):
        counts["left_out"] = left_out
    counts["clusters"] = examples.loc[counted, "manual"].nunique()
    if longer := sum(too_long(row["prediction"]) for row in rows):
        counts["too_long"] = longer
    return counts


def clustered(examples: pd.DataFrame, scoring: Scoring) -> np.ndarray:
    """Return (clusters, k): the features summed over each manual, manuals in their sorted order."""
    features = examples[list(scoring.features)].to_numpy()
    return resampling.cluster_sums(features, examples["manual"].tolist())


def examples(
    predictions: list[Row],
    tasks: Mapping[str, Scoring],
    source: Path | str | None,
    *,
    as_shown: bool = False,
) -> dict[str, pd.DataFrame]:
    """Return each task's examples, sorted by instance: identity, and features as floats.

    Rows of other known tasks are passed over; a UserError names one that cannot be scored.
    ``as_shown`` compares the file's numbers with the answer as it is, as was published.
    """
    rows: dict[str, list[Row]] = {name: [] for name in tasks}
    seen: set[str] = set()
    others = [name for name in TASKS if name not in tasks]  # the thesis had its own
    for index, row in enumerate(predictions):
        if row.get("task") in others:
            continue
        try:
            shown = as_shown and AS_SHOWN[1] in row
            numbers = _features(row, tasks, seen, AS_SHOWN if shown else REQUIRED[2:])
        except ValueError as error:
            raise UserError(f"{_place(source, index)}: {error}. Remedy: mend the line.") from error
        name, task = row["instance_id"], row["task"]
        seen.add(name)
        identity = zip(IDENTITY, (name, task, row.get("manual") or name), strict=True)
        rows[task].append(dict(identity) | numbers)
    return {
        name: pd.DataFrame(rows[name])
        .astype(dict.fromkeys(scoring.features, float))
        .sort_values("instance_id", ignore_index=True)
        for name, scoring in tasks.items()
        if rows[name]
    }


def _features(
    row: Row, tasks: Mapping[str, Scoring], seen: set[str], pair: tuple[str, ...]
) -> dict[str, float]:
    texts = {key: row.get(key) for key in (*REQUIRED, *pair)}
    texts["manual"] = row.get("manual") or ""
    for key, value in texts.items():
        if not isinstance(value, str):
            raise ValueError(f"{key} is not text")
        if key in IDENTITY and SURROGATE.search(value):
            raise ValueError(f"{key} has half of a surrogate pair: {value!r}")
    if row["task"] not in tasks:
        raise ValueError(f"the task {row['task']!r} is none of {', '.join(tasks)}")
    if row["instance_id"] in seen:
        raise ValueError(f"the instance {row['instance_id']!r} occurs a second time")
    prediction, reference = (row[key] for key in pair)
    return dict(tasks[row["task"]].measure(prediction, reference))


def _per_example(by_task: dict[str, pd.DataFrame], protocol: str) -> pd.DataFrame:
    tasks = PROTOCOLS[protocol].values()
    metrics = dict.fromkeys(name for task in tasks for name in task.metrics)
    columns = metrics | dict.fromkeys(name for task in tasks for name in task.features)
    frames = [pd.DataFrame(columns=[*IDENTITY, *columns])]
    for name, examples in by_task.items():
        task = PROTOCOLS[protocol][name]
        values = task.statistics(examples[list(task.features)].to_numpy())
        frames.append(examples.assign(**dict(zip(task.metrics, values.T, strict=True))))
    types = dict.fromkeys(columns, float) | dict.fromkeys(IDENTITY, str)
    return pd.concat(frames).astype(types).sort_values("instance_id", ignore_index=True)


def _place(source: Path | str | None, index: int) -> str:
    """Say where row ``index`` stands; a file's blank lines are no rows but do count as lines."""
    if source is None:
        return f"prediction {index + 1}"
    lines = Path(source).read_text(encoding="utf-8").split("\n")
    return f"{source}, line {[n for n, line in enumerate(lines, 1) if line.strip()][index]}"
