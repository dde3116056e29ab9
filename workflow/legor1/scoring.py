"""Predictions → ``scores.json`` and ``per_example.parquet``.

For each task, ``features`` turns one example into numbers that may be summed, and ``statistics``
turns such sums into the task's metrics. The same function so gives a metric of one example, of
all, and of every bootstrap replicate.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from legor1.answers import extract, parse_objects, parse_state
from legor1.errors import UserError
from legor1.files import atomic, read_jsonl, write_json
from legor1.metrics import detection, intervals, state, text
from legor1.seeding import generator

if TYPE_CHECKING:
    import pandas as pd

PROTOCOLS = ("sound",)
REQUIRED = ("instance_id", "task", "prediction", "reference")


@dataclass(frozen=True)
class Task:
    """How a task is scored.

    Attributes:
        metrics: their names.
        features: the k numbers of an example, from (prediction, reference); raises ValueError
            for a reference that is no answer to the task.
        statistics: the metrics (..., m) from sums of features (..., k).
    """

    metrics: tuple[str, ...]
    features: Callable[[str, str], list[float]]
    statistics: Callable[[np.ndarray], np.ndarray]


def score(
    predictions: list[dict],
    *,
    protocol: str = "sound",
    replicates: int = 10_000,
    confidence: float = 0.95,
    seed: int = 42,
    source: Path | str | None = None,
) -> tuple[dict[str, Any], "pd.DataFrame"]:
    """Score predictions; return what goes into ``scores.json``, and a row an example.

    Args:
        predictions: rows with the keys in ``REQUIRED``; ``manual`` is the cluster of the
            bootstrap, and a row without one is its own.
        protocol: one of ``PROTOCOLS``.
        replicates: bootstrap replicates.
        confidence: of the intervals, between 0 and 1.
        seed: of the bootstrap.
        source: the file that errors name.

    Raises:
        UserError: an option has no meaning, a row cannot be scored, or an instance occurs twice.
    """
    _check_options(protocol, replicates, confidence)
    frame, features = _per_example(predictions, source)
    tasks: dict[str, Any] = {}
    for task in [name for name in TASKS if name in features]:
        clusters = frame.loc[frame["task"] == task, "manual"].tolist()
        rng = generator(seed, "bootstrap", task)
        sums = intervals.resampled_sums(features[task], clusters, replicates, rng)
        metrics = _metrics(task, features[task].sum(axis=0), sums, confidence)
        tasks[task] = {"n": len(clusters), "clusters": len(set(clusters)), **metrics}
    if "grounding" in tasks:
        tasks["grounding"]["bleu"]["signature"] = text.bleu_signature()
    scores = {
        "schema_version": 1,
        "protocol": protocol,
        "interval": {
            "method": "percentile bootstrap, clustered by manual",
            "replicates": replicates,
            "confidence": confidence,
            "seed": seed,
        },
        "tasks": tasks,
    }
    return scores, frame


def write_scores(path: Path | str, out_dir: Path | str, **options: Any) -> dict[str, Any]:
    """Score a ``predictions.jsonl`` with the options of ``score``; write and return the scores.

    Raises:
        UserError: as ``score``, and if the file cannot be read.
    """
    scores, frame = score(read_jsonl(path, REQUIRED), source=path, **options)
    with atomic(Path(out_dir) / "per_example.parquet") as temporary:
        frame.to_parquet(temporary, index=False)
    write_json(Path(out_dir) / "scores.json", scores)
    return scores


def _object_features(prediction: str, reference: str) -> list[float]:
    true = parse_objects(reference)
    if true is None:
        raise ValueError("its reference is no list of boxes")
    predicted = parse_objects(prediction)
    return [
        detection.matched_iou(predicted, true),
        detection.label_f1(predicted, true),
        parse_objects(prediction, strict=True) is not None,
        predicted is not None,
        1,
    ]


def _grounding_features(prediction: str, reference: str) -> list[float]:
    said, meant = extract(prediction), extract(reference)
    rouge = text.rouge(said, meant)
    return [text.token_f1(said, meant), *rouge.values(), text.bleu(said, meant), 1]


def _state_features(prediction: str, reference: str) -> list[float]:
    true, predicted = parse_state(reference), parse_state(prediction)
    if true is None:
        raise ValueError("its reference is neither yes nor no")
    strict = parse_state(prediction, strict=True) is not None
    return [*state.confusion(predicted, true), strict, predicted is not None, 1]


def _means(sums: np.ndarray) -> np.ndarray:
    """Return the means of all features but the last, which counts the examples."""
    return sums[..., :-1] / sums[..., -1:]


def _state_statistics(sums: np.ndarray) -> np.ndarray:
    counts, rest = sums[..., :4], sums[..., 4:]
    measures = [state.f1(counts), state.fpr(counts), state.balanced_accuracy(counts)]
    return np.concatenate([np.stack(measures, axis=-1), _means(rest)], axis=-1)


_PARSE_RATES = ("parse_strict", "parse_lenient")
TASKS = {
    "object": Task(("iou", "f1_object", *_PARSE_RATES), _object_features, _means),
    "grounding": Task(("f1_theme", *text.ROUGE, "bleu"), _grounding_features, _means),
    "state": Task(
        ("f1_state", "fpr", "balanced_accuracy", *_PARSE_RATES), _state_features, _state_statistics
    ),
}
METRICS = tuple(dict.fromkeys(name for task in TASKS.values() for name in task.metrics))


def _per_example(
    predictions: list[dict], source: Path | str | None
) -> tuple["pd.DataFrame", dict[str, np.ndarray]]:
    """Return a row an example, sorted by instance, and each task's features in that order."""
    import pandas as pd

    features: dict[str, dict[str, list[float]]] = {}
    manuals: dict[str, str] = {}
    for index, row in enumerate(predictions):
        try:
            numbers = _row_features(row, manuals)
        except ValueError as error:
            raise UserError(f"{_place(source, index)}: {error}. Remedy: mend the line.") from error
        manuals[row["instance_id"]] = row.get("manual") or row["instance_id"]
        features.setdefault(row["task"], {})[row["instance_id"]] = numbers
    arrays, frames = {}, []
    for task, rows in features.items():
        names = sorted(rows)
        arrays[task] = np.array([rows[name] for name in names], dtype=float)
        identity = {"instance_id": names, "task": task, "manual": [manuals[n] for n in names]}
        metrics = zip(TASKS[task].metrics, TASKS[task].statistics(arrays[task]).T, strict=True)
        frames.append(pd.DataFrame(identity | dict(metrics)))
    columns = ["instance_id", "task", "manual", *METRICS]
    frame = pd.concat([pd.DataFrame(columns=columns), *frames]).astype(
        {name: float if name in METRICS else str for name in columns}
    )
    return frame.sort_values("instance_id", ignore_index=True), arrays


def _row_features(row: dict, seen: dict[str, str]) -> list[float]:
    texts = {key: row.get(key) for key in REQUIRED} | {"manual": row.get("manual") or ""}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise ValueError(f"{key} is not text")
    if row["task"] not in TASKS:
        raise ValueError(f"the task {row['task']!r} is none of {', '.join(TASKS)}")
    if row["instance_id"] in seen:
        raise ValueError(f"the instance {row['instance_id']!r} occurs a second time")
    return TASKS[row["task"]].features(row["prediction"], row["reference"])


def _place(source: Path | str | None, index: int) -> str:
    """Say where row ``index`` stands; a file's blank lines are no rows but do count as lines."""
    if source is None:
        return f"prediction {index + 1}"
    lines = Path(source).read_text(encoding="utf-8").split("\n")
    return f"{source}, line {[n for n, line in enumerate(lines, 1) if line.strip()][index]}"


def _metrics(
    task: str, total: np.ndarray, resampled: np.ndarray, confidence: float
) -> dict[str, dict[str, Any]]:
    """Return each metric of the features' sums, with its interval; undefined numbers are None."""
    statistics, metrics = TASKS[task].statistics, {}
    columns = zip(TASKS[task].metrics, statistics(total), statistics(resampled).T, strict=True)
    for name, value, replicates in columns:
        numbers = (float(value), *intervals.percentile(replicates, confidence))
        defined = [number if math.isfinite(number) else None for number in numbers]
        metrics[name] = dict(zip(("value", "low", "high"), defined, strict=True))
    return metrics


def _check_options(protocol: str, replicates: int, confidence: float) -> None:
    if protocol not in PROTOCOLS:
        raise UserError(
            f"there is no protocol {protocol!r}. Remedy: use one of {', '.join(PROTOCOLS)}."
        )
    if replicates < 1 or not 0 < confidence < 1:
        raise UserError(
            f"{replicates} replicates at a confidence of {confidence} make no interval. "
            "Remedy: at least one replicate, and a confidence between 0 and 1, such as 0.95."
        )
