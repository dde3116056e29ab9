"""The results tables: this run's numbers, and beside them the published ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from legor1.report.study import Experiment, Score, Study, published


@dataclass(frozen=True)
class Metric:
    """A row of the results table.

    Attributes:
        task: the task that it belongs to.
        name: as in ``table.csv``.
        label: as the report writes it.
        meaning: what it measures, in a few words.
        column: its column in ``published_results.csv``, or empty.
        note: what must be known to read the published number.
        higher: whether more is better.
    """

    task: str
    name: str
    label: str
    meaning: str
    column: str = ""
    note: str = ""
    higher: bool = True

    def better(self, a: Score, b: Score) -> bool:
        """Tell whether ``a`` is the better value, however close."""
        return a.value > b.value if self.higher else a.value < b.value


TASKS = {
    "object": "Find the parts",
    "grounding": "Say what to do",
    "state": "Check the step",
}
METRICS = (
    Metric("object", "iou", "Mean IoU", "overlap of matched boxes; missing and extra ones count 0",
           "iou", "sum over boxes"),
    Metric("object", "f1_object", "F1-object", "words of the labels", "f1_object"),
    Metric("grounding", "f1_theme", "F1-theme", "words of the instruction", "f1_theme"),
    Metric("grounding", "rouge1", "ROUGE-1", "single words", "rouge", "kind not stated"),
    Metric("grounding", "rougeL", "ROUGE-L", "longest common sequence", "rouge",
           "kind not stated"),
    Metric("grounding", "bleu", "BLEU", "runs of one to four words", "bleu"),
    Metric("state", "f1_state", "F1-state", "of the answer Yes", "f1_state"),
    Metric("state", "fpr", "False-positive rate", "wrong steps passed as right", "fpr",
           higher=False),
    Metric("state", "balanced_accuracy", "Balanced accuracy", "a coin scores 50"),
)  # fmt: skip
# The published evaluation gives these names to something else.
THESIS_MEANINGS = {
    "iou": "overlaps of matched boxes, summed over an image: can exceed 100",
    "f1_object": "set of common words over lists of words",
    "f1_state": "of the answer Yes; unreadable answers left out",
    "fpr": "wrong steps passed as right; unreadable answers left out",
}
MAIN = {"object": "iou", "grounding": "f1_theme", "state": "balanced_accuracy"}
ADAPTATIONS = {"few_shot": "few-shot", "sft": "SFT", "grpo": "GRPO", "lora": "LoRA", "none": "none"}


def metric(name: str) -> Metric:
    """Return the metric of this name."""
    return next(one for one in METRICS if one.name == name)


@dataclass(frozen=True)
class Cell:
    """A number of this run; ``mark`` is ``best`` (clearly), ``ahead`` (not clearly) or empty."""

    experiment: Experiment
    score: Score | None
    mark: str


@dataclass(frozen=True)
class Row:
    """A metric's line: this run's cells, then the thesis's figures in percent as printed."""

    metric: Metric
    cells: list[Cell]
    thesis: list[str]


@dataclass(frozen=True)
class Block:
    """The lines of one task; ``n`` says over how many examples."""

    task: str
    title: str
    n: str
    rows: list[Row]


def results(study: Study, protocol: str) -> list[Block]:
    """Return the results under one protocol; tasks and metrics without a number are left out."""
    blocks = []
    for task, title in TASKS.items():
        metrics = [_meant(one, protocol) for one in METRICS if one.task == task]
        rows = [_row(study, protocol, one) for one in metrics]
        rows = [row for row in rows if any(cell.score for cell in row.cells)]
        counts = sorted({cell.score.n for row in rows for cell in row.cells if cell.score})
        if rows:
            blocks.append(Block(task, title, " or ".join(f"{n:,}" for n in counts), rows))
    return blocks


def _meant(one: Metric, protocol: str) -> Metric:
    own = THESIS_MEANINGS.get(one.name) if protocol == "thesis" else None
    return replace(one, meaning=own) if own else one


def _row(study: Study, protocol: str, one: Metric) -> Row:
    scores = [study.score(protocol, one.task, one.name, e) for e in study.experiments]
    cells = [
        Cell(experiment, score, mark)
        for experiment, score, mark in zip(
            study.experiments, scores, marks(one, scores), strict=True
        )
    ]
    return Row(one, cells, [row.get(one.column, "") for row in thesis()])


def marks(one: Metric, scores: Sequence[Score | None]) -> list[str]:
    """Return ``best`` for the best score if its interval is apart from all others, else ``ahead``.

    Equal best scores are ahead together. There is no mark where all are equal, or only one.
    """
    found = [score for score in scores if score]
    best = [s for s in found if not any(one.better(other, s) for other in found)]
    if len(found) < 2 or len(best) == len(found):
        return [""] * len(scores)
    clear = len(best) == 1 and all(s is best[0] or best[0].apart(s) for s in found)
    return [("best" if clear else "ahead") if s in best else "" for s in scores]


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


def percent(fraction: float) -> str:
    """Return a fraction as percent with one decimal and a true minus sign; a dash for none."""
    return "–" if fraction != fraction else f"{100 * fraction:.1f}".replace("-", "−")
