"""Whole checkpoints: one is used only if it was marked whole, last of all, with its data on disk.

The training writes ``checkpoint-N`` piece by piece, from every process. A marker says that all
pieces are there, and how long each is; without it the folder is what a crash left, and is removed.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from legor1.core.errors import UserError
from legor1.core.files import read_json, share, sync, write_json

MARKER = "whole.json"
NAME = re.compile(r"checkpoint-(\d+)")


def step_of(checkpoint: Path) -> int:
    """Return the optimiser steps that were done when ``checkpoint`` was written."""
    return int(checkpoint.name.rpartition("-")[2])


def is_whole(checkpoint: Path) -> bool:
    """Return whether all files that the marker lists are there, of the length that it says."""
    try:
        sizes: dict[str, int] = read_json(checkpoint / MARKER)["files"]
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (UserError, OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def newest(work: Path) -> Path | None:
    """Return the whole checkpoint in ``work`` with the most steps, if there is one."""
    return max(filter(is_whole, _checkpoints(work)), key=step_of, default=None)


def mark_whole(checkpoint: Path) -> None:
    """Put all of ``checkpoint`` on disk, then say that it is whole."""
    (checkpoint / MARKER).unlink(missing_ok=True)
    files = [path for path in sorted(checkpoint.rglob("*")) if path.is_file()]
    share(checkpoint)
    sync(checkpoint)
    sizes = {path.relative_to(checkpoint).as_posix(): path.stat().st_size for path in files}
    facts = {"schema_version": 1, "step": step_of(checkpoint), "files": sizes}
    write_json(checkpoint / MARKER, facts)
    for folder in (checkpoint, checkpoint.parent):
        sync(folder, deep=False)


def keep_newest(work: Path) -> None:
    """Remove all checkpoints but the newest whole one; none if there is no whole one.

    A checkpoint loses its marker first, so that one half removed does not look whole.
    """
    kept = newest(work)
    for checkpoint in _checkpoints(work) if kept else []:
        if checkpoint != kept:
            _remove(checkpoint)


def discard_incomplete(work: Path) -> None:
    """Remove the checkpoints that a crash left half written."""
    for checkpoint in _checkpoints(work):
        if not is_whole(checkpoint):
            _remove(checkpoint)


def _remove(checkpoint: Path) -> None:
    (checkpoint / MARKER).unlink(missing_ok=True)
    shutil.rmtree(checkpoint)


def _checkpoints(work: Path) -> Iterator[Path]:
    if work.is_dir():
        yield from (Path(one) for one in os.scandir(work) if NAME.fullmatch(one.name))
