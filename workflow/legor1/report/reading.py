"""How many of the answers could be read, and how many were cut off."""

from collections.abc import Iterable

from markupsafe import Markup

from legor1.report.cited import Cited, count, percent, pointer
from legor1.report.metrics import TASKS
from legor1.report.study import Experiment, Study

PROTOCOL = "sound"  # under it an unreadable answer is a miss; the thesis's has no such rates
LOW = 0.95  # a smaller share of readable answers is pointed out
HEADINGS = (
    "Experiment", "Task", "Answers", "As asked, %", "Interval", "Readable, %", "Interval",
    "Cut off, %",
)  # fmt: skip

Table = tuple[list[str], list[list[str]]]


def rates(study: Study) -> Table:
    """Return what share of the answers could be read, by experiment and task, in percent.

    Instructions have no such rates: they are prose, of which all can be read.
    """
    rows: list[list[str]] = []
    for one in study.experiments:
        asked = {row["task"] for row in study.predictions[one.name].values()}
        for task in (task for task in TASKS if task in asked):
            number, cut = _counted(study, one, task)
            rows.append([one.name, TASKS[task], number, *_read(study, one, task), cut])
    return list(HEADINGS), rows


def _counted(study: Study, one: Experiment, task: str) -> tuple[Cited, str]:
    """Return how many answers there are, and the share that the limit on tokens cut off."""
    answers = [row for row in study.predictions[one.name].values() if row["task"] == task]
    file, n = f"predictions/{one.name}.jsonl", len(answers)
    number = Cited(count(n), n, pointer(file, "task"), f"how many are {task}")
    if not all("finished" in row for row in answers):
        return number, "–"
    share = sum(not row["finished"] for row in answers) / n
    how = f"share of {task} that is not"
    return number, Cited(percent(share), share, pointer(file, "finished"), how)


def _read(study: Study, one: Experiment, task: str) -> Iterable[str]:
    """Yield the share that is as it was asked for, and that can be read at all, with intervals."""
    for name in ("parse_strict", "parse_lenient"):
        score = study.score(PROTOCOL, task, name, one)
        if score is None:
            yield from ("–", "–")
            continue
        yield Markup("▼ {}" if score.value < LOW else "{}").format(score.cited())
        ends = score.cited("low"), score.cited("high")
        yield Markup("{} to {}").format(*ends) if score.bounded else "–"
