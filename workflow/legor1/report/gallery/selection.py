"""Which examples are shown, and why: a matter of the scores, the seed and the ids alone.

A score is the first metric that the task shows of an example, or 1 or 0 where the task tells right
from wrong. Examples of the same score are drawn at random by the seed.
"""

import math
from collections import defaultdict

from legor1.core.seeding import rank
from legor1.report.citation import Record
from legor1.report.study import Study
from legor1.tasks.discovery import TASKS

REASONS = {"disputed": "in dispute", "best": "best", "worst": "worst", "lot": "at random"}

Choice = dict[str, list[str]]  # reason → instance ids


def choose(study: Study, most: int) -> dict[str, Choice]:
    """Return the examples of each task that has any, at most so many for each reason."""
    choices = {task: _of_task(_scores(study, task), most) for task in TASKS}
    return {task: choice for task, choice in choices.items() if any(choice.values())}


def reasons(choice: Choice) -> dict[str, list[str]]:
    """Return id → the reasons for which it was chosen, in the order of the reasons."""
    idents = dict.fromkeys(ident for chosen in choice.values() for ident in chosen)
    return {ident: [r for r, chosen in choice.items() if ident in chosen] for ident in idents}


def score(study: Study, experiment: str, row: Record) -> float:
    """Return how good a prediction is, a fraction; NaN if it was not scored."""
    task = TASKS[row["task"]]
    if task.gallery.verdict:
        return float(task.gallery.verdict(row["prediction"], row["reference"]) == "right")
    return measured(study, experiment, row, task.gallery.scores[0])


def measured(study: Study, experiment: str, row: Record, name: str) -> float:
    """Return a metric of a prediction, a fraction; NaN if it was not scored."""
    return study.examples[experiment].get(row["instance_id"], {}).get(name, math.nan)


def mark(row: Record, main: float) -> str:
    """Return ``right``, ``wrong`` or ``unreadable``; empty if it was not scored.

    Where the task has no verdict of its own, an answer is right if its ``main`` metric is 1.
    """
    gallery = TASKS[row["task"]].gallery
    if gallery.verdict:
        return gallery.verdict(row["prediction"], row["reference"])
    if not gallery.readable(row["prediction"]):
        return "unreadable"
    return "" if math.isnan(main) else "right" if main >= 1 else "wrong"


def _of_task(scores: dict[str, list[float]], most: int) -> Choice:
    known = {ident: own for ident, own in scores.items() if own}
    mean = {ident: sum(own) / len(own) for ident, own in known.items()}
    spread = {ident: max(own) - min(own) for ident, own in known.items()}
    extreme = min(most, len(known) // 2) if len({*mean.values()}) > 1 else 0
    disputed = [ident for ident in known if spread[ident] > 0]
    return {
        "disputed": sorted(disputed, key=lambda ident: -spread[ident])[:most],
        "best": sorted(known, key=lambda ident: -mean[ident])[:extreme],
        "worst": sorted(known, key=lambda ident: mean[ident])[:extreme],
        "lot": [*scores][:most],
    }


def _scores(study: Study, task: str) -> dict[str, list[float]]:
    """Return id → the scores of the experiments that have one, in an order drawn by the seed."""
    scores = defaultdict(list)
    for experiment, rows in study.predictions.items():
        for ident, row in rows.items():
            if row["task"] == task:
                scores[ident].append(score(study, experiment, row))
    seed = study.config["seed"]
    order = sorted(scores, key=lambda ident: (rank(seed, "gallery", ascii(ident)), ident))
    return {ident: [x for x in scores[ident] if not math.isnan(x)] for ident in order}
