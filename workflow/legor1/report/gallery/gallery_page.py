"""Which examples the report shows, and the page that shows all of them, with its filters.

Which, and why, is a matter of the scores, the seed and the ids alone. A score is the first metric
that the task shows of an example, or 1 or 0 where the task tells right from wrong. Examples of the
same score are drawn at random by the seed.
"""

import contextlib
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from urllib.parse import quote

from legor1.core.errors import UserError
from legor1.core.files import atomic_folder
from legor1.core.seeding import rank
from legor1.report.citation import Cited, Record, counted, pointer
from legor1.report.gallery.examples import Example, examples, measured
from legor1.report.study import Study
from legor1.tasks.discovery import TASKS

OURS = re.compile(r"[0-9a-f]{16}\.jpg")  # what pictures.write_large calls a file
MARKS = {"right": "right in full", "wrong": "not right in full", "unreadable": "unreadable"}
REASONS = {"disputed": "in dispute", "best": "best", "worst": "worst", "lot": "at random"}

Choice = dict[str, list[str]]  # reason → instance ids
ByTask = dict[str, list[Example]]
Trait = tuple[str, str]  # a filter's name, and the key of one of its options


@dataclass(frozen=True)
class Gallery:
    """The chosen examples of each task."""

    every: ByTask
    few: ByTask  # the report's: the first for each reason, the one at random before the others
    page: str  # name of the file that has every one
    counts: Mapping[Trait, int]

    def number(self, name: str, key: str = "") -> Cited:
        """Return of how many examples an option of a filter is true; ``all`` has no option."""
        where = pointer(self.page, name, key)
        return counted(self.counts[name, key], where, "examples of that page")


def gather(study: Study, page: Path | None) -> Gallery:
    """Choose the examples, and write the images of a ``page``; a UserError if others lie there."""
    most = int(study.config["report"]["gallery"])
    chosen = choose(study, most if page else min(most, 1))
    with _folder(images_of(page)) if page else contextlib.nullcontext() as folder:
        why = {task: reasons(choice) for task, choice in chosen.items()}
        every = examples(study, why, folder)
    if page:
        with contextlib.suppress(OSError):  # it is not empty, which DVC would not keep
            images_of(page).rmdir()
    few = {task: _first(shown, chosen[task]) for task, shown in every.items()}
    traits = Counter(chain.from_iterable(map(_traits, chain.from_iterable(every.values()))))
    return Gallery(every, few, page.name if page else "", traits)


def choose(study: Study, most: int) -> dict[str, Choice]:
    """Return the examples of each task that has any, at most so many for each reason."""
    choices = {task: _of_task(_scores(study, task), most) for task in TASKS}
    return {task: choice for task, choice in choices.items() if any(choice.values())}


def _scores(study: Study, task: str) -> dict[str, list[float]]:
    """Return id → the scores of the experiments that have one, in an order drawn by the seed."""
    scores = defaultdict(list)
    for experiment, rows in study.predictions.items():
        for ident, row in rows.items():
            if row["task"] == task:
                scores[ident].append(score(study, experiment, row))
    seed = study.config["seed"]
    order = sorted(scores, key=lambda ident: (rank(seed, "gallery", ascii(ident)), ident))
    return {ident: [x for x in scores[ident] if not math.isnan(x)] for ident in order}


def score(study: Study, experiment: str, row: Record) -> float:
    """Return how good a prediction is, a fraction; NaN if it was not scored."""
    task = TASKS[row["task"]]
    if task.gallery.verdict:
        return float(task.gallery.verdict(row["prediction"], row["reference"]) == "right")
    return measured(study, experiment, row, task.gallery.scores[0])


def _of_task(scores: dict[str, list[float]], most: int) -> Choice:
    known = {ident: own for ident, own in scores.items() if own}
    mean = {ident: sum(own) / len(own) for ident, own in known.items()}
    spread = {ident: max(own) - min(own) for ident, own in known.items()}
    extreme = min(most, len(known) // 2) if len({*mean.values()}) > 1 else 0
    disputed = [ident for ident in known if spread[ident] > 0]
    return {
        "disputed": sorted(disputed, key=lambda ident: -spread[ident])[:most],
        "best": sorted(known, key=lambda ident: -mean[ident])[:extreme],
        "worst": sorted(known, key=lambda ident: mean[ident])[:extreme],
        "lot": [*scores][:most],
    }


def reasons(choice: Choice) -> dict[str, list[str]]:
    """Return id → the reasons for which it was chosen, in the order of the reasons."""
    idents = dict.fromkeys(ident for chosen in choice.values() for ident in chosen)
    return {ident: [r for r, chosen in choice.items() if ident in chosen] for ident in idents}


def _first(shown: list[Example], choice: Choice) -> list[Example]:
    """Return the first example for each reason, that at random before the others."""
    first = dict.fromkeys(idents[0] for idents in reversed(choice.values()) if idents)
    by_ident = {example.instance_id: example for example in shown}
    return [by_ident[ident] for ident in first]


def _traits(example: Example) -> set[Trait]:
    by = {("by", str(answer.experiment.index)) for answer in example.answers}
    marks = {("mark", answer.mark) for answer in example.answers}
    reasons = {("reason", reason) for reason in example.reasons}
    return {("all", ""), ("task", example.task)} | reasons | marks | by


def images_of(page: Path) -> Path:
    """Return the folder of the images in their own size."""
    return page.with_name(f"{page.stem}_images")


def link(path: Path, out: Path) -> str:
    """Return the relative URL of a file or folder, as seen from the page ``out``."""
    return quote(Path(os.path.relpath(path, out.parent)).as_posix())


def _folder(images: Path) -> contextlib.AbstractContextManager[Path]:
    ours = images.is_dir() and all(OURS.fullmatch(path.name) for path in images.iterdir())
    if images.exists() and not ours:
        raise UserError(
            f"{images} holds something else than the gallery's images. "
            "Remedy: move it away, or name another --gallery."
        )
    return atomic_folder(images)
