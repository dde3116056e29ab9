"""All tasks: each module of this folder that defines a ``TASK``, in their declared order."""

import importlib
from dataclasses import replace
from pathlib import Path

from legor1.core.errors import UserError
from legor1.tasks.task import Kind, Shown, Task


def discover(folder: Path) -> dict[str, Task]:
    """Return name → task, of each module in ``folder``, which is this package's."""
    # The other modules of the folder import this one, so they are told apart by their text.
    paths = sorted(path for path in folder.glob("*.py") if "\nTASK = " in path.read_text("utf-8"))
    defined = [(importlib.import_module(f"{__package__}.{path.stem}").TASK, path) for path in paths]
    tasks: dict[str, Task] = {}
    for task, path in sorted(defined, key=lambda pair: (pair[0].order, pair[0].name)):
        if task.name in tasks:
            raise UserError(f"{path}: there is a task {task.name!r} already. Remedy: rename it.")
        tasks[task.name] = task
    return tasks


TASKS = discover(Path(__file__).parent)


def of_kind(*kinds: Kind) -> frozenset[str]:
    """Return the names of the tasks that want answers of these kinds."""
    return frozenset(name for name, task in TASKS.items() if task.answer in kinds)


METRICS = tuple(  # those that the report shows, task by task
    replace(shown, task=task.name) for task in TASKS.values() for shown in task.shown
)


def metric(task: str, name: str) -> Shown:
    """Return how the report shows a metric of a task; under its bare name, if it does not."""
    known = (shown for shown in METRICS if (shown.task, shown.name) == (task, name))
    return next(known, Shown(name, name, "", task=task))


def main_metric(task: str) -> Shown:
    """Return how the report shows the metric that comparisons of a task test first."""
    return metric(task, TASKS[task].scoring.main)
