"""The gallery's filters: inputs that the stylesheet reads, so that they need no script."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from legor1.report.cited import Cited, count, pointer
from legor1.report.gallery.choice import REASONS
from legor1.report.gallery.examples import Example
from legor1.report.metrics import TASKS
from legor1.report.study import Experiment

MARKS = ("right", "wrong", "unreadable")


@dataclass(frozen=True)
class Option:
    """A choice of a filter: its key, its label, and how many examples it is true of.

    ``experiment`` is set where it is one.
    """

    key: str
    label: str
    count: Cited
    experiment: Experiment | None = None


@dataclass(frozen=True)
class Filter:
    """One question, of which one answer holds, or, of experiments, any."""

    name: str
    legend: str
    options: list[Option]


def total(page: str, shown: Iterable[Example]) -> Cited:
    """Return how many examples the page of this name shows."""
    return _counted(page, shown, "all", "", lambda one: True)


def filters(
    page: str, shown: list[Example], experiments: Iterable[Experiment]
) -> tuple[list[Filter], Filter]:
    """Return the filters of which one option holds, and that of the experiments.

    Args:
        page: its name, for the sources of the counts.
        shown: its examples.
        experiments: of the run; one that answered none of them is left out.
    """

    def option(name: str, key: str, label: str, holds: Callable[[Example], bool]) -> Option:
        return Option(key, label, _counted(page, shown, name, key, holds))

    tasks = [option("task", key, label, _of_task(key)) for key, label in TASKS.items()]
    why = [option("reason", key, label, _for(key)) for key, label in REASONS.items()]
    marks = [option("mark", key, key, _marked(key)) for key in MARKS]
    by = [
        Option(f"{e.index}", e.name, _counted(page, shown, "by", f"{e.index}", _by(e)), e)
        for e in experiments
    ]
    single = [
        Filter("task", "Task", tasks),
        Filter("reason", "Why it is here", why),
        Filter("mark", "An answer that is", marks),
    ]
    return single, Filter("by", "Answers of", [one for one in by if one.count.value])


def _counted(
    page: str, shown: Iterable[Example], name: str, key: str, holds: Callable[[Example], bool]
) -> Cited:
    number = sum(map(holds, shown))
    return Cited(count(number), number, pointer(page, name, key), "examples of that page")


def _of_task(key: str) -> Callable[[Example], bool]:
    return lambda one: one.task == key


def _for(key: str) -> Callable[[Example], bool]:
    return lambda one: key in one.reasons


def _marked(key: str) -> Callable[[Example], bool]:
    return lambda one: any(answer.mark == key for answer in one.answers)


def _by(experiment: Experiment) -> Callable[[Example], bool]:
    return lambda one: any(answer.experiment == experiment for answer in one.answers)
