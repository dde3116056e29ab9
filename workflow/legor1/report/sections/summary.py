"""The answer in words, made from the numbers; ``result_tables.standing`` says what to claim."""

from collections.abc import Iterator
from functools import partial

from markupsafe import Markup

from legor1.report.sections import overview, result_tables
from legor1.report.study import Scored, Study
from legor1.report.svg import macros
from legor1.tasks.discovery import TASKS, main_metric
from legor1.tasks.task import Shown

TEMPLATE = "_summary.html.j2"


def question(study: Study) -> Markup:
    """Return what was asked, in one sentence."""
    return macros(TEMPLATE)["question"](study, [task.purpose for task in TASKS.values()])


def answers(study: Study, protocol: str) -> list[Markup]:
    """Return a sentence or two for each task that has numbers, the main task first."""
    sentences = [_answer(study, protocol, main_metric(task)) for task in TASKS]
    seeds = overview.training_seeds(study)
    if len(seeds) > 1:
        sentences.append(macros(TEMPLATE)["seeds"](seeds))
    return [sentence for sentence in sentences if sentence is not None]


def _answer(study: Study, protocol: str, metric: Shown) -> Markup | None:
    known = study.scored(protocol, metric)
    if not known:
        return None
    label = metric.label
    if not (label[1:2].isupper() or label[1:2].isdigit()):  # within a sentence
        label = label[0].lower() + label[1:]
    clauses = [*_clauses(study, protocol, metric, known)]
    return macros(TEMPLATE)["answer"](TASKS[metric.task].title, label, clauses)


def _clauses(study: Study, protocol: str, metric: Shown, known: Scored) -> Iterator[Markup]:
    """Yield what can be said beside the baseline, and of the best of the others beside the rest."""
    words, standing = macros(TEMPLATE), partial(result_tables.standing, study, protocol, metric)
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
