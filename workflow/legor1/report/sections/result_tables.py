"""The results tables: this run's numbers, and beside them the published ones."""

import math
from dataclasses import dataclass, replace

from legor1.report import claims
from legor1.report.citation import Cited
from legor1.report.study import Experiment, Score, Study, published
from legor1.tasks.baselines import NAMES
from legor1.tasks.discovery import METRICS, TASKS
from legor1.tasks.task import Shown

ADAPTATIONS = {"few_shot": "few-shot", "sft": "SFT", "grpo": "GRPO", "lora": "LoRA", "none": "none"}


@dataclass(frozen=True)
class Cell:
    """A number of this run, and how it stands beside the baseline's.

    Attributes:
        mark: ``best`` (clearly), ``ahead`` (not clearly) or empty.
        difference: from the baseline, on the same examples; None for its own, or if unknown.
        verdict: ``better``, ``worse`` or ``unclear``; empty without a difference.
        repeated: the same number of the training's repeats with other seeds.
    """

    experiment: Experiment
    score: Score | None
    mark: str
    difference: Score | None
    verdict: str
    repeated: list[Score]


@dataclass(frozen=True)
class Row:
    """A metric's line: this run's cells, the best ``free`` baseline, the thesis's percents."""

    metric: Shown
    cells: list[Cell]
    free: tuple[str, Score] | None
    thesis: list[str]


@dataclass(frozen=True)
class Block:
    """The lines of one task; ``counts`` says over how many examples, by experiment's group."""

    task: str
    title: str
    counts: list[Cited]
    rows: list[Row]


def results(study: Study, protocol: str) -> list[Block]:
    """Return the results under one protocol; tasks and metrics without a number are left out."""
    blocks = []
    for task in TASKS.values():
        metrics = [_meant(one, protocol) for one in METRICS if one.task == task.name]
        rows = [_row(study, protocol, one) for one in metrics]
        rows = [row for row in rows if any(cell.score for cell in row.cells)]
        counts = {c.score.n: c.score.cited("n") for r in rows for c in r.cells if c.score}
        if rows:
            blocks.append(Block(task.name, task.title, [counts[n] for n in sorted(counts)], rows))
    return blocks


def _meant(one: Shown, protocol: str) -> Shown:
    published = one.published if protocol == "thesis" else ""
    return replace(one, meaning=published or one.meaning)


def _row(study: Study, protocol: str, one: Shown) -> Row:
    marks = claims.marks(study, protocol, one)
    cells = [_cell(study, protocol, one, e, marks.get(e.name, "")) for e in study.experiments]
    free = free_scores(study, protocol, one)
    best = max(free, key=lambda pair: one.worth(pair[1].value), default=None)
    return Row(one, cells, best, [row.get(one.column, "") for row in thesis()])


def _cell(study: Study, protocol: str, one: Shown, own: Experiment, mark: str) -> Cell:
    score = study.score(protocol, one.task, one.name, own)
    difference = study.difference(protocol, one.task, one.name, own, study.baseline)
    verdict = claims.standing(study, protocol, one, own, study.baseline) if difference else ""
    repeated = study.repeated(protocol, one.task, one.name, own)
    return Cell(own, score, mark, difference, verdict, repeated)


def free_scores(study: Study, protocol: str, one: Shown) -> list[tuple[str, Score]]:
    """Return the baselines that need no model and have this metric, with their scores."""
    named = [(name, study.scores.get((protocol, one.task, one.name, name))) for name in NAMES]
    return [(name, score) for name, score in named if score and math.isfinite(score.value)]


def thesis() -> list[dict[str, str]]:
    """Return the thesis's rows of the published results."""
    return [row for row in published() if row["source"] == "thesis"]


def paper() -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of the LEGO-ARTA paper's results, in percent as printed."""
    columns = {one.column: one for one in METRICS if one.column and one.name != "rougeL"}
    headings = ["ROUGE" if name == "rouge" else one.label for name, one in columns.items()]
    rows = [
        [row["model"], ADAPTATIONS[row["adaptation"]], *(row[name] or "–" for name in columns)]
        for row in published()
        if row["source"] == "lego_arta_paper"
    ]
    return ["Model", "Trained by", *headings], rows
