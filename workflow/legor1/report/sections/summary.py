"""The answer in words, made from the numbers; ``result_tables.standing`` says what to claim."""

from collections.abc import Iterator
from functools import partial

from markupsafe import Markup

from legor1.core.layout import IN_RUN
from legor1.report.citation import Cited, cite
from legor1.report.sections import result_tables
from legor1.report.study import Study
from legor1.report.svg import macros
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


def manuals(study: Study) -> list[Cited]:
    """Return each number of manuals that the examples of a task come from, the smallest first."""
    numbers: dict[int, Cited] = {}
    for name, scores in study.scoring.items():
        for task, facts in scores.get("tasks", {}).items():
            if "clusters" in facts:
                file = IN_RUN.scores(name, study.protocols[0])
                numbers[facts["clusters"]] = cite(file, scores, "tasks", task, "clusters")
    return [numbers[n] for n in sorted(numbers)]


def clauses(study: Study, protocol: str, metric: Shown) -> Iterator[Markup]:
    """Yield what can be said beside the baseline, and of the best of the others beside the rest."""
    standing = partial(result_tables.standing, study, protocol, metric)
    words, known = macros("_summary.html.j2"), study.scored(protocol, metric)
    base = next((pair for pair in known if pair[0] == study.baseline), known[0])
    others = [pair for pair in known if pair != base]
    if not others:
        yield words["alone"](base)
        return
    if all(standing(a, b) == "unclear" for a, _ in known for b, _ in known if a != b):
        yield words["all_alike"](known)
        return
    for word in ("better", "worse", "unclear"):
        if group := [pair for pair in others if standing(pair[0], base[0]) == word]:
            yield words["beside"](base, word, group)
    best = max(others, key=lambda pair: metric.worth(pair[1].value))
    rest = [pair for pair in others if pair != best]
    behind = [pair for pair in rest if standing(best[0], pair[0]) == "better"]
    if behind:
        yield words["ahead"](best, behind)
    if level := [pair for pair in rest if pair not in behind]:
        yield words["level"](best, level)
