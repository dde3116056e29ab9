"""What the report shows of the gallery, and the page that shows all of it."""

import contextlib
import os
import re
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

from legor1.core.errors import UserError
from legor1.core.files import atomic_folder
from legor1.report.citation import Cited
from legor1.report.gallery import filters
from legor1.report.gallery.examples import Example, examples
from legor1.report.gallery.selection import choose
from legor1.report.study import Study

OURS = re.compile(r"[0-9a-f]{16}\.jpg")  # what images.write_large calls a file


@dataclass(frozen=True)
class Gallery:
    """The chosen examples of each task: all, and the report's, the first for each reason."""

    every: dict[str, list[Example]]
    few: dict[str, list[Example]]
    total: Cited


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
    first = {ident for one in chosen.values() for idents in one.values() for ident in idents[:1]}
    few = {
        task: [one for one in shown if one.instance_id in first] for task, shown in every.items()
    }
    return Gallery(every, few, filters.total(page.name if page else "", _all(every)))


def context(study: Study, gallery: Gallery, page: Path, report: Path) -> dict[str, Any]:
    """Return what the template of the ``page`` shows, but for the page's head and foot."""
    single, by = filters.filters(page.name, _all(gallery.every), study.experiments)
    return {
        "gallery": gallery.every,
        "total": gallery.total,
        "filters": single,
        "by": by,
        "marks": filters.MARKS,
        "images": link(images_of(page), page),
        "report": link(report, page),
    }


def images_of(page: Path) -> Path:
    """Return the folder of the images in their own size."""
    return page.with_name(f"{page.stem}_images")


def link(path: Path, out: Path) -> str:
    """Return the relative URL of a file or folder, as seen from the page ``out``."""
    return quote(Path(os.path.relpath(path, out.parent)).as_posix())


def _all(by_task: dict[str, list[Example]]) -> list[Example]:
    return [*chain.from_iterable(by_task.values())]


def _folder(images: Path) -> contextlib.AbstractContextManager[Path]:
    ours = images.is_dir() and all(OURS.fullmatch(one.name) for one in images.iterdir())
    if images.exists() and not ours:
        raise UserError(
            f"{images} holds something else than the gallery's images. "
            "Remedy: move it away, or name another --gallery."
        )
    return atomic_folder(images)
