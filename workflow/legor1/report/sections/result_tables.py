"""Results: this run's numbers, which differ clearly, what was learnt, and the published ones."""

from dataclasses import dataclass, replace

from legor1.evaluation.resampling import significant
from legor1.report.citation import Cited, Table
from legor1.report.study import Experiment, Score, Study, published
from legor1.tasks.baselines import NAMES
from legor1.tasks.discovery import METRICS, TASKS
from legor1.tasks.task import Shown

ADAPTATIONS = {"few_shot": "few-shot", "sft": "SFT", "grpo": "GRPO", "lora": "LoRA", "none": "none"}
REVERSED = {"better": "worse", "worse": "better", "unclear": "unclear"}
# How far a score must lie from the best answer without a model, towards a perfect one.
LEARNT, IN_PART = 0.5, 0.1


@dataclass(frozen=True)
class Cell:
    """A number of this run, and how it stands beside the others'."""

    experiment: Experiment
    score: Score | None
    best: bool  # clearly
    difference: Score | None  # from the baseline, on the same examples
    verdict: str  # ``better``, ``worse`` or ``unclear``; empty without a difference
    repeated: list[Score]  # the same number of the training's repeats with other seeds


@dataclass(frozen=True)
class Row:
    """A metric's line: this run's cells, the best ``free`` baseline, the thesis's percents."""

    metric: Shown
    cells: list[Cell]
    free: tuple[str, Score] | None
    thesis: list[str]


@dataclass(frozen=True)
class Block:
    """The lines of one task; ``counts`` has each number of examples that experiments answered."""

    task: str
    title: str
    counts: list[Cited]
    rows: list[Row]

    @property
    def heading(self) -> str:
        """What stands above the lines in a document."""
        return f"{self.title} ({self.task}, n = {' or '.join(self.counts)})"


def standing(study: Study, protocol: str, metric: Shown, a: Experiment, b: Experiment) -> str:
    """Return how ``a`` stands beside ``b`` in a metric: ``better``, ``worse`` or ``unclear``.

    Nothing else decides whether the report calls one better: the interval of the paired difference
    must not contain zero, and its test must agree, since few manuals make short intervals, and the
    test then has no power. Its p is adjusted for all pairs and tasks: of the main metrics as one
    family, of the secondary ones as another. Whatever was not compared is unclear.
    """
    if study.difference(protocol, metric, b, a):
        return REVERSED[standing(study, protocol, metric, b, a)]
    paired = study.difference(protocol, metric, a, b)
    if paired is None or paired.low <= 0 <= paired.high:
        return "unclear"
    if not significant(paired.p, study.config["evaluation"]["confidence"]):
        return "unclear"
    return "better" if (paired.value > 0) == metric.higher else "worse"


def best(study: Study, protocol: str, metric: Shown) -> Experiment | None:
    """Return the experiment that is clearly better than every other, and than no model at all."""
    worth = {e: metric.worth(score.value) for e, score in study.scored(protocol, metric)}
    free = free_best(study, protocol, metric)
    if len(worth) < 2 or (free and metric.worth(free[1].value) >= max(worth.values())):
        return None
    first, *others = sorted(worth, key=lambda e: -worth[e])
    clearly = all(standing(study, protocol, metric, first, e) == "better" for e in others)
    return first if clearly else None


def free_best(study: Study, protocol: str, metric: Shown) -> tuple[str, Score] | None:
    """Return the best of the baselines that need no model, with its number."""
    free = study.of_names(protocol, metric, NAMES).items()
    return max(free, key=lambda pair: metric.worth(pair[1].value), default=None)


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
    free = free_best(study, protocol, metric)
    floor = free[1].value if free else 0.0
    gains = [
        (score.value - floor) / (1 - floor)
        for e, score in trained
        if standing(study, protocol, metric, e, study.baseline) == "better" and score.low > floor
    ]
    most = max(gains, default=0.0)
    levels = (("learnt", LEARNT), ("in_part", IN_PART), ("not", 0.0))
    return next(name for name, least in levels if most >= least) if trained else ""


def by_protocol(study: Study) -> dict[str, list[Block]]:
    """Return protocol → its results, of those that have any."""
    blocks = {protocol: results(study, protocol) for protocol in study.protocols}
    return {protocol: shown for protocol, shown in blocks.items() if shown}


def results(study: Study, protocol: str) -> list[Block]:
    """Return the results under one protocol; tasks and metrics without a number are left out."""
    blocks = []
    for task in TASKS.values():
        rows = [_row(study, protocol, metric) for metric in METRICS if metric.task == task.name]
        rows = [row for row in rows if any(cell.score for cell in row.cells)]
        counts = {c.score.n: c.score.cited("n") for r in rows for c in r.cells if c.score}
        if rows:
            blocks.append(Block(task.name, task.title, [counts[n] for n in sorted(counts)], rows))
    return blocks


def _row(study: Study, protocol: str, metric: Shown) -> Row:
    if protocol == "thesis" and metric.published:
        metric = replace(metric, meaning=metric.published)
    first = best(study, protocol, metric)
    cells = []
    for own in study.experiments:
        score = study.score(protocol, metric.task, metric.name, own)
        difference = study.difference(protocol, metric, own, study.baseline)
        verdict = standing(study, protocol, metric, own, study.baseline) if difference else ""
        repeated = [*study.of_names(protocol, metric, study.repeats(own)).values()]
        cells.append(Cell(own, score, own == first, difference, verdict, repeated))
    published = [row.get(metric.column, "") for row in _thesis()]
    return Row(metric, cells, free_best(study, protocol, metric), published)


def thesis_headings() -> list[str]:
    """Return what the columns of the thesis's results are called."""
    return [ADAPTATIONS[row["adaptation"]] for row in _thesis()]


def _thesis() -> list[dict[str, str]]:
    return [row for row in published() if row["source"] == "thesis"]


def paper() -> Table:
    """Return headings and rows of the LEGO-ARTA paper's results, in percent as printed."""
    columns = {m.column: m for m in METRICS if m.column and m.name != "rougeL"}
    headings = ["ROUGE" if name == "rouge" else m.label for name, m in columns.items()]
    rows = [
        [row["model"], ADAPTATIONS[row["adaptation"]], *(row[name] or "–" for name in columns)]
        for row in published()
        if row["source"] == "lego_arta_paper"
    ]
    return ["Model", "Trained by", *headings], rows


def slots(task: str) -> list[Shown]:
    """Return the metrics that tell which share of each slot of a task is right."""
    slots = TASKS[task].slots
    return [Shown(f"{slot}_right", slot.capitalize(), "", task=task) for slot in slots]
