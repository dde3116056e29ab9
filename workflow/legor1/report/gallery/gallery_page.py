"""What the report shows of the gallery, and the page that shows all of it, with its filters."""

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from legor1.core.errors import UserError
from legor1.core.files import atomic_folder
from legor1.report.citation import Cited, counted, pointer
from legor1.report.gallery.examples import Example, examples
from legor1.report.gallery.selection import REASONS, Choice, choose
from legor1.report.study import Study
from legor1.tasks.discovery import TASKS

OURS = re.compile(r"[0-9a-f]{16}\.jpg")  # what pictures.write_large calls a file
MARKS = {"right": "right in full", "wrong": "not right in full", "unreadable": "unreadable"}
ALL = ("all", "")

ByTask = dict[str, list[Example]]
Trait = tuple[str, str]  # a filter's name, and the key of one of its options


@dataclass(frozen=True)
class Gallery:
    """The chosen examples of each task: all, and the report's, the first for each reason.

    Of the report's, the one at random leads.
    """

    every: ByTask
    few: ByTask
    total: Cited


class Option(NamedTuple):
    """A choice of a filter, and how many examples it is true of."""

    key: str
    label: str
    number: Cited


class Filter(NamedTuple):
    """One question, asked by inputs that the stylesheet reads, so that it needs no script."""

    name: str
    legend: str
    options: list[Option]


def gather(study: Study, page: Path | None) -> Gallery:
    """Choose the examples and, if there is to be a page of them, write their images beside it.

    Raises:
        UserError: the folder of the images holds something else.
    """
    most = int(study.config["report"]["gallery"])
    chosen = choose(study, most if page else min(most, 1))
    with _folder(images_of(page)) if page else contextlib.nullcontext() as folder:
        every = examples(study, chosen, folder)
    if page:
        with contextlib.suppress(OSError):  # it is not empty, which DVC would not keep
            images_of(page).rmdir()
    few = {task: _first(shown, chosen[task]) for task, shown in every.items()}
    return Gallery(every, few, _cited(page.name if page else "", ALL, _counts(every)))


def _first(shown: list[Example], choice: Choice) -> list[Example]:
    """Return the first example for each reason, that at random before the others."""
    first = dict.fromkeys(idents[0] for idents in reversed(choice.values()) if idents)
    by_ident = {example.instance_id: example for example in shown}
    return [by_ident[ident] for ident in first]


def context(study: Study, gallery: Gallery, page: Path, report: Path) -> dict[str, object]:
    """Return the names in the template of the ``page``, but for the page's head and foot."""
    single, by = _filters(study, gallery.every, page.name)
    return {
        "gallery": gallery.every,
        "total": gallery.total,
        "filters": single,
        "by": by,
        "marks": MARKS,
        "images": link(images_of(page), page),
        "report": link(report, page),
    }


def _filters(study: Study, every: ByTask, page: str) -> tuple[list[Filter], Filter]:
    """Return the filters of which one option holds, and that of the experiments.

    An experiment that answered none of the examples is left out.
    """
    counts = _counts(every)

    def filter_of(name: str, legend: str, labels: Iterable[tuple[str, str]]) -> Filter:
        options = [Option(key, text, _cited(page, (name, key), counts)) for key, text in labels]
        return Filter(name, legend, options)

    answered = ((str(e.index), e.name) for e in study.experiments if counts["by", str(e.index)])
    single = [
        filter_of("task", "Task", ((task.name, task.title) for task in TASKS.values())),
        filter_of("reason", "Why it is here", REASONS.items()),
        filter_of("mark", "An answer that is", MARKS.items()),
    ]
    return single, filter_of("by", "Answers of", answered)


def _counts(every: ByTask) -> Counter[Trait]:
    """Return what the filters ask for → how many examples it is true of."""
    return Counter(chain.from_iterable(map(_traits, chain.from_iterable(every.values()))))


def _traits(example: Example) -> set[Trait]:
    by = {("by", str(answer.experiment.index)) for answer in example.answers}
    marks = {("mark", answer.mark) for answer in example.answers}
    return {ALL, ("task", example.task), *(("reason", r) for r in example.reasons)} | marks | by


def _cited(page: str, trait: Trait, counts: Counter[Trait]) -> Cited:
    return counted(counts[trait], pointer(page, *trait), "examples of that page")


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
