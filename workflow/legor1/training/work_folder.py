"""The work folder of a training: its lock, attempts, requests to stop, and whole checkpoints.

The processes that train are not children of the one that started them, and a signal may reach some
of them and not others, so they communicate by files in this folder. No torch here.

The training writes ``checkpoint-N`` piece by piece, from every process. A marker, written last,
lists all pieces and their sizes; a folder without it is what a crash left.
"""

import contextlib
import fcntl
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from legor1.core.errors import UserError
from legor1.core.files import locked, read_json, share, sync, write_json

REQUEST = "stop"  # a file that asks the training to stop after its present step
STOPPED, FAILED, ATTEMPT = "stopped.json", "failed", "attempt.json"
PROGRESS, HISTORY = "progress.json", "history.jsonl"  # of a training that is not done, for watchers
MARKER = "whole.json"  # of a checkpoint
CHECKPOINT = re.compile(r"checkpoint-(\d+)")
LAUNCHER = "LEGOR1_LAUNCHER"  # in the environment of the processes that train: their launcher's id
SECONDS_TO_LEAVE = 60  # for an earlier training to notice that its launcher is gone


def enter(folder: Path) -> TextIO:
    """Return the lock of ``folder``, held until closed; a UserError if a training works there."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("a")
    if not locked(lock, SECONDS_TO_LEAVE):
        raise UserError(
            f"another training is at work in {folder}. Remedy: wait for it, or stop it."
        )
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def join(folder: Path) -> TextIO:
    """Return the lock of ``folder``, shared with the launcher, which has entered it."""
    lock = (folder / "lock").open("a")
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def begin(folder: Path, attempt: int, log: Path | None = None) -> None:
    """Remove what earlier trainings left half done, and note where this one begins.

    ``attempt`` is above 1 where a scheduler retries by itself; ``log`` is where the previous one
    said why it ended. A UserError says that it began here, too, and ended with an error of its own:
    a retry would end the same way. One that was killed may find more memory or another node.
    """
    discard_incomplete(folder)
    whole = newest(folder)
    step = step_of(whole) if whole else 0
    note = folder / ATTEMPT
    before = read_json(note) if note.exists() and (folder / FAILED).exists() else None
    if before and before["attempt"] < attempt and before["step"] >= step:
        raise UserError(
            f"attempt {attempt} is at step {step}, where attempt {before['attempt']} began: "
            f"it made no whole checkpoint in {folder}. The reason is in {log or 'its log'}. "
            "Remedy: fix that and run again."
        )
    write_json(note, {"schema_version": 1, "attempt": attempt, "step": step})
    for name in (REQUEST, STOPPED, FAILED):
        (folder / name).unlink(missing_ok=True)


def note_stop(folder: Path, step: int, steps: int, why: str) -> None:
    """Note that the training stopped gracefully after ``step`` of ``steps``."""
    write_json(folder / STOPPED, {"schema_version": 1, "step": step, "steps": steps, "why": why})


def note_failure(folder: Path) -> None:
    """Note that the training ended with an error of its own: nobody killed it."""
    with contextlib.suppress(OSError):  # a full disk may be that error
        (folder / FAILED).touch()


def stop_noted(folder: Path) -> dict | None:
    """Return the note of a graceful stop, if the last training left one."""
    return read_json(folder / STOPPED) if (folder / STOPPED).exists() else None


def end_with_launcher() -> None:
    """End this process as soon as its parent, or the launcher that its environment names, is gone.

    Otherwise a training whose launcher was killed would overwrite its successor's work. The
    launcher may be gone before this process gets here.
    """
    parent = os.getppid()
    launcher = int(os.environ.get(LAUNCHER, parent))

    def watch() -> None:
        while os.getppid() == parent and Path(f"/proc/{launcher}").exists():
            time.sleep(0.5)
        try:
            print("the launcher of this training is gone, so it ends", file=sys.stderr, flush=True)
        finally:  # stderr's reader may be gone as well
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def step_of(checkpoint: Path) -> int:
    """Return the number of optimiser steps before ``checkpoint``."""
    return int(checkpoint.name.rpartition("-")[2])


def is_whole(checkpoint: Path) -> bool:
    """Return whether all files that the marker lists exist, with the sizes that it gives."""
    try:
        sizes: dict[str, int] = read_json(checkpoint / MARKER)["files"]
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (UserError, OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def newest(work: Path) -> Path | None:
    """Return the whole checkpoint in ``work`` with the most steps, if there is one."""
    return max(filter(is_whole, _checkpoints(work)), key=step_of, default=None)


def mark_whole(checkpoint: Path) -> None:
    """Sync all of ``checkpoint`` to disk, then mark it as whole."""
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
    """Remove all checkpoints but the newest whole one; none if there is no whole one."""
    if kept := newest(work):
        _remove(path for path in _checkpoints(work) if path != kept)


def discard_incomplete(work: Path) -> None:
    """Remove the checkpoints that a crash left half written."""
    _remove(path for path in _checkpoints(work) if not is_whole(path))


def _remove(checkpoints: Iterable[Path]) -> None:
    for checkpoint in checkpoints:
        (checkpoint / MARKER).unlink(missing_ok=True)  # first: what is half removed is not whole
        shutil.rmtree(checkpoint)


def _checkpoints(work: Path) -> list[Path]:
    return [path for path in work.glob("checkpoint-*") if CHECKPOINT.fullmatch(path.name)]
