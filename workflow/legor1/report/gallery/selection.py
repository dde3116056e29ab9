"""Which examples are shown, and why: a matter of the scores, the seed and the ids alone.

A score is the task's main metric, or 1 or 0 where the task tells right from wrong. Examples of the
same score are drawn by the seed.
"""

import math
from collections.abc import Mapping

from legor1.core.seeding import rank
from legor1.report.study import Record, Study
from legor1.tasks.discovery import TASKS

REASONS = {"disputed": "in dispute", "best": "best", "worst": "worst", "lot": "by lot"}
HALF = 0.5  # a score from which on an answer counts as right

Choice = dict[str, list[str]]  # reason → instance ids


def choose(study: Study, most: int) -> dict[str, Choice]:
    """Return the examples of each task that has any, at most so many for each reason."""
    found = {task: _of_task(study, task, most) for task in TASKS}
    return {task: choice for task, choice in found.items() if any(choice.values())}


def reasons(choice: Choice) -> dict[str, list[str]]:
    """Return id → the reasons for which it was chosen, in the order of the reasons."""
    found: dict[str, list[str]] = {}
    for reason, idents in choice.items():
        for ident in idents:
            found.setdefault(ident, []).append(reason)
    return found


def score(study: Study, experiment: str, row: Record) -> float:
    """Return how good a prediction is, a fraction; NaN if it was not scored."""
    task = TASKS[row["task"]]
    if task.gallery.verdict:
        return float(task.gallery.verdict(row["prediction"], row["reference"]) == "right")
    return study.examples[experiment].get(row["instance_id"], {}).get(task.scoring.main, math.nan)


def mark(row: Record, scored: float) -> str:
    """Return ``right``, ``wrong`` or ``unreadable``; empty if it was not scored.

    Where the task has no verdict of its own, half the score and more is right.
    """
    gallery = TASKS[row["task"]].gallery
    if gallery.verdict:
        return gallery.verdict(row["prediction"], row["reference"])
    if not gallery.readable(row["prediction"]):
        return "unreadable"
    return "" if math.isnan(scored) else "right" if scored >= HALF else "wrong"


def _of_task(study: Study, task: str, most: int) -> Choice:
    scores = _scores(study, task)
    known = {ident: found for ident, found in scores.items() if found}
    mean = {ident: sum(found) / len(found) for ident, found in known.items()}
    spread = {ident: max(found) - min(found) for ident, found in known.items()}
    differ = len({*mean.values()}) > 1
    extreme = min(most, len(known) // 2) if differ else 0
    disputed = sorted(known, key=lambda ident: -spread[ident])
    return {
        "disputed": [ident for ident in disputed if spread[ident] > 0][:most],
        "best": sorted(known, key=lambda ident: -mean[ident])[:extreme],
        "worst": sorted(known, key=lambda ident: mean[ident])[:extreme],
        "lot": [*scores][:most],
    }


def _scores(study: Study, task: str) -> Mapping[str, list[float]]:
    """Return id → the scores of the experiments that have one, in an order drawn by the seed."""
    found: dict[str, list[float]] = {}
    for experiment, rows in study.predictions.items():
        for ident, row in rows.items():
            if row["task"] == task:
                found.setdefault(ident, []).append(score(study, experiment, row))
    seed = study.config["seed"]
    order = sorted(found, key=lambda ident: (rank(seed, "gallery", ascii(ident)), ident))
    return {ident: [one for one in found[ident] if not math.isnan(one)] for ident in order}
