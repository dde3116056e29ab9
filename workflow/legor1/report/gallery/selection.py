"""Which examples are shown, and why: a matter of the scores, the seed and the ids alone.

A score is the mean IoU of a prediction, the F1-theme of an instruction, 1 or 0 for an answer yes or
no. Examples of the same score are drawn by the seed.
"""

import math
from collections.abc import Mapping

from legor1.core.seeding import rank
from legor1.report.shown_metrics import MAIN, TASKS
from legor1.report.study import Record, Study
from legor1.tasks.parsing import extract, parse_objects, parse_state

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
    if row["task"] == "state":
        return float(verdict(row) == "right")
    return study.examples[experiment].get(row["instance_id"], {}).get(MAIN[row["task"]], math.nan)


def verdict(row: Record) -> str:
    """Return whether the answer to a state prompt is ``right``, ``wrong`` or ``unreadable``."""
    said = parse_state(row["prediction"])
    if said is None:
        return "unreadable"
    return "right" if said == parse_state(extract(row["reference"])) else "wrong"


def mark(row: Record, scored: float) -> str:
    """Return the same for any task: with boxes or words, half the score and more is right.

    Empty if it was not scored.
    """
    if row["task"] == "state":
        return verdict(row)
    readable = extract(row["prediction"]) if row["task"] == "grounding" else row["prediction"]
    if not readable or (row["task"] == "object" and parse_objects(readable) is None):
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
