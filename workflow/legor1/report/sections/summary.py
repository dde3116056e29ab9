"""The answer in words, made from the numbers; ``result_tables.standing`` says what to claim."""

from collections.abc import Iterator
from functools import partial

from markupsafe import Markup

from legor1.core.layout import IN_RUN
from legor1.report.citation import Cited, cite, counted, pointer
from legor1.report.sections import overview, result_tables
from legor1.report.study import Scored, Study
from legor1.report.svg import macros
from legor1.tasks.discovery import TASKS, main_metric
from legor1.tasks.task import Shown

TEMPLATE = "_summary.html.j2"
# How far a score must lie from the best answer without a model, towards a perfect one.
LEARNT, IN_PART = 0.5, 0.1


def question(study: Study) -> Markup:
    """Return what was asked, in one sentence."""
    return macros(TEMPLATE)["question"](study, [task.purpose for task in TASKS.values()])


def headline(study: Study, protocol: str) -> Markup:
    """Return what training taught the model and what not; empty if no trained one was compared."""
    lists: dict[str, list[str]] = {"learnt": [], "in_part": [], "not": []}
    for name, task in TASKS.items():
        if how := learnt(study, protocol, main_metric(name)):
            lists[how].append(task.purpose)
    return macros(TEMPLATE)["headline"](lists) if any(lists.values()) else Markup()


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


def scope(study: Study, protocol: str) -> Markup:
    """Return how much the answer rests on: examples, manuals, seeds of training and tests."""
    metrics = [main_metric(task) for task in TASKS]
    known = [scored[0][1] for metric in metrics if (scored := study.scored(protocol, metric))]
    examples = [score.cited("n") for score in known]
    pairs = study.comparison.get("comparisons", [])
    tests = sum(len(pair["tasks"]) for pair in pairs)
    source = pointer(IN_RUN.comparison, "comparisons")
    return macros(TEMPLATE)["scope"](
        examples,
        manuals(study),
        overview.training_seeds(study) if study.trained else [],
        counted(tests, source, "main tests") if tests else None,
    )


def manuals(study: Study) -> list[Cited]:
    """Return each number of manuals that the examples of a task come from, the smallest first."""
    numbers: dict[int, Cited] = {}
    for name, scores in study.scoring.items():
        for task, facts in scores.get("tasks", {}).items():
            if "clusters" in facts:
                file = IN_RUN.scores(name, study.protocols[0])
                numbers[facts["clusters"]] = cite(file, scores, "tasks", task, "clusters")
    return [numbers[n] for n in sorted(numbers)]


def answers(study: Study, protocol: str) -> list[Markup]:
    """Return a sentence or two for each task that has numbers, the main task first."""
    sentences = []
    for metric in map(main_metric, TASKS):
        if not (known := study.scored(protocol, metric)):
            continue
        label = metric.label
        if not (label[1:2].isupper() or label[1:2].isdigit()):  # within a sentence
            label = label[0].lower() + label[1:]
        untaught = [
            (e, score)
            for e, score in known
            if e in study.trained and metric.task not in overview.taught(study, e)
        ]
        sentences.append(
            macros(TEMPLATE)["answer"](
                TASKS[metric.task].title,
                learnt(study, protocol, metric),
                label,
                [*_clauses(study, protocol, metric, known)],
                result_tables.free_best(study, protocol, metric),
                untaught,
            )
        )
    return sentences


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
