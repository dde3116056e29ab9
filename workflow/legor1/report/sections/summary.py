"""The answer in words, made from the numbers; ``result_tables.standing`` says what to claim."""

from legor1.report.sections import result_tables
from legor1.report.study import Study
from legor1.tasks.discovery import TASKS, main_metric
from legor1.tasks.task import Shown

# How far a score must lie from the best answer without a model, towards a perfect one.
LEARNT, IN_PART = 0.5, 0.1


def purposes(study: Study, protocol: str) -> dict[str, list[str]]:
    """Return the purposes of the tasks by what ``learnt`` says of them."""
    lists: dict[str, list[str]] = {"learnt": [], "in_part": [], "not": [], "": []}
    for name, task in TASKS.items():
        lists[learnt(study, protocol, main_metric(name))].append(task.purpose)
    return lists


def learnt(study: Study, protocol: str, metric: Shown) -> str:
    """Return whether training taught a task: ``learnt``, ``in_part`` or ``not``.

    It did if a trained experiment is clearly better than the baseline, its interval lies above the
    best answer without a model, and its score leads far enough from there to a perfect one. Empty
    where no trained experiment was compared.
    """
    trained = [
        (e, score)
        for e, score in study.scored(protocol, metric)
        if e in study.trained and study.difference(protocol, metric, e, study.baseline)
    ]
    free = result_tables.free_best(study, protocol, metric)
    floor = free[1].value if free else 0.0
    gains = [
        (score.value - floor) / (1 - floor)
        for e, score in trained
        if result_tables.standing(study, protocol, metric, e, study.baseline) == "better"
        and score.low > floor
    ]
    most = max(gains, default=0.0)
    levels = (("learnt", LEARNT), ("in_part", IN_PART), ("not", 0.0))
    return next(name for name, least in levels if most >= least) if trained else ""
