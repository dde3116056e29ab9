"""The gallery's filters: inputs that the stylesheet reads, so that they need no script."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from legor1.core.format import count
from legor1.report.citation import Cited, pointer
from legor1.report.gallery.examples import Example
from legor1.report.gallery.selection import REASONS
from legor1.report.study import Experiment
from legor1.tasks.discovery import TASKS

MARKS = ("right", "wrong", "unreadable")


@dataclass(frozen=True)
class Option:
    """A choice of a filter, and how many examples it is true of; ``experiment`` if it is one."""

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

    An experiment that answered none of the examples is left out. ``page`` is the page's name, for
    the sources of the counts.
    """
    keys: dict[str, Callable[[Example], Iterable[str]]] = {
        "task": lambda one: [one.task],
        "reason": lambda one: one.reasons,
        "mark": lambda one: [answer.mark for answer in one.answers],
        "by": lambda one: [str(answer.experiment.index) for answer in one.answers],
    }

    def option(name: str, key: str, label: str, experiment: Experiment | None = None) -> Option:
        return Option(
            key,
            label,
            _counted(page, shown, name, key, lambda one: key in keys[name](one)),
            experiment,
        )

    by = [option("by", str(e.index), e.name, e) for e in experiments]
    single = [
        Filter("task", "Task", [option("task", task.name, task.title) for task in TASKS.values()]),
        Filter("reason", "Why it is here", [option("reason", *one) for one in REASONS.items()]),
        Filter("mark", "An answer that is", [option("mark", key, key) for key in MARKS]),
    ]
    return single, Filter("by", "Answers of", [one for one in by if one.count.value])


def _counted(
    page: str, shown: Iterable[Example], name: str, key: str, holds: Callable[[Example], bool]
) -> Cited:
    number = sum(map(holds, shown))
    return Cited(count(number), number, pointer(page, name, key), "examples of that page")
