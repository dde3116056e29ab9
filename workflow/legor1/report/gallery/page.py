"""What the report shows of the gallery, and the page that shows all of it."""

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from legor1.errors import UserError
from legor1.files import atomic_folder
from legor1.report.cited import Cited
from legor1.report.gallery import filters
from legor1.report.gallery.choice import choose
from legor1.report.gallery.examples import Example, examples
from legor1.report.metrics import TASKS
from legor1.report.study import Study

OURS = re.compile(r"[0-9a-f]{16}\.jpg")  # what images.write_large calls a file


@dataclass(frozen=True)
class Gallery:
    """The examples of a run, chosen and made ready.

    Attributes:
        page: where all of them are shown; None: nowhere.
        every: task → its examples.
        few: the same for the report: the first for each reason.
        total: how many there are.
    """

    page: Path | None
    every: dict[str, list[Example]]
    few: dict[str, list[Example]]
    total: Cited

    def links(self, out: Path) -> dict[str, str | None]:
        """Return the URLs of page and images, as seen from the page ``out``; None for nothing."""
        page = self.page
        return {
            "gallery_page": page and link(page, out),
            "images": page and link(images_of(page), out),
        }


def images_of(page: Path) -> Path:
    """Return the folder of the images in their own size."""
    return page.with_name(f"{page.stem}_images")


def link(path: Path, out: Path) -> str:
    """Return the relative URL of a file or folder, as seen from the page ``out``."""
    return quote(Path(os.path.relpath(path, out.parent)).as_posix())


def gather(study: Study, page: Path | None) -> Gallery:
    """Choose the examples and write their images beside the page.

    Raises:
        UserError: the folder of the images holds something else.
    """
    most = int(study.config["report"]["gallery"])
    chosen = choose(study, most if page else min(most, 1))
    first = {ident for one in chosen.values() for idents in one.values() for ident in idents[:1]}
    with _folder(images_of(page)) if page else contextlib.nullcontext() as folder:
        every = examples(study, chosen, folder)
    few = {task: [one for one in shown if one.instance_id in first] for task, shown in every.items()}
    name = page.name if page else ""
    return Gallery(page, every, few, filters.total(name, sum(every.values(), [])))


def context(study: Study, gallery: Gallery) -> dict[str, Any]:
    """Return what the gallery's template shows, but for the page's head and foot."""
    assert gallery.page
    shown = sum(gallery.every.values(), [])
    single, by = filters.filters(gallery.page.name, shown, study.experiments)
    return {
        "tasks": TASKS,
        "gallery": gallery.every,
        "total": gallery.total,
        "filters": single,
        "by": by,
        "marks": filters.MARKS,
    } | gallery.links(gallery.page)


def _folder(images: Path) -> contextlib.AbstractContextManager[Path]:
    if images.exists() and not all(OURS.fullmatch(one.name) for one in images.iterdir()):
        raise UserError(
            f"{images} holds something else than the gallery's images. "
            "Remedy: move it away, or name another --gallery."
        )
    return atomic_folder(images)
