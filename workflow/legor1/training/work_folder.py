"""The work folder of a training: who is at work in it, requests to stop, attempts.

The processes that train are not children of the one that started them, and a signal may reach some
of them and not others, so they hear from each other by files in this folder. No torch here.
"""

import contextlib
import fcntl
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

from legor1.core.errors import UserError
from legor1.core.files import locked, read_json, write_json
from legor1.training import checkpoints

REQUEST, STOPPED, FAILED, ATTEMPT = "stop", "stopped.json", "failed", "attempt.json"
PROGRESS, HISTORY = "progress.json", "history.jsonl"  # of a training that is not done, for watchers
LAUNCHER = "LEGOR1_LAUNCHER"  # in the environment of the processes that train: their launcher's id
SECONDS_TO_LEAVE = 60  # that an earlier training has to notice that its launcher is gone


def enter(folder: Path) -> TextIO:
    """Return the lock of ``folder``, held with others that do the same work as long as it is open.

    Raises:
        UserError: another training is still at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("a")
    if not locked(lock, SECONDS_TO_LEAVE):
        raise UserError(f"another training is at work in {folder}. Remedy: wait for it, or end it.")
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def join(folder: Path) -> TextIO:
    """Return the lock of ``folder``, held beside the launcher, which has seen to it."""
    lock = (folder / "lock").open("a")
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def begin(folder: Path, attempt: int, log: Path | None = None) -> None:
    """Clear away what earlier trainings left half done, and note where this one begins.

    Args:
        folder: the work folder, entered.
        attempt: 1, or more where a scheduler tries again by itself.
        log: where the attempt before said why it ended.

    Raises:
        UserError: the attempt before began here, too, and ended with an error of its own: trying
            again would end the same way. One that was killed may find more memory or another node.
    """
    checkpoints.discard_incomplete(folder)
    whole = checkpoints.newest(folder)
    step = checkpoints.step_of(whole) if whole else 0
    note = folder / ATTEMPT
    before = read_json(note) if note.exists() else None
    failed = (folder / FAILED).exists()
    if before and failed and before["attempt"] < attempt and before["step"] >= step:
        raise UserError(
            f"attempt {attempt} stands at step {step}, where attempt {before['attempt']} began: "
            f"it made no whole checkpoint in {folder}. Why stands in {log or 'its log'}. "
            "Remedy: put that right and run again."
        )
    write_json(note, {"schema_version": 1, "attempt": attempt, "step": step})
    for name in (REQUEST, STOPPED, FAILED):
        (folder / name).unlink(missing_ok=True)


def ask_to_stop(folder: Path) -> None:
    """Ask the training to stop after its present step."""
    (folder / REQUEST).touch()


def is_asked_to_stop(folder: Path) -> bool:
    """Return whether somebody asked."""
    return (folder / REQUEST).exists()


def note_stop(folder: Path, step: int, steps: int, why: str) -> None:
    """Note that the training stopped in good order after ``step`` of ``steps``."""
    write_json(folder / STOPPED, {"schema_version": 1, "step": step, "steps": steps, "why": why})


def note_failure(folder: Path) -> None:
    """Note that the training ended with an error of its own: nobody killed it."""
    with contextlib.suppress(OSError):  # a full disk may be that error
        (folder / FAILED).touch()


def stop_noted(folder: Path) -> dict[str, Any] | None:
    """Return the note of a stop in good order, if the last training left one."""
    return read_json(folder / STOPPED) if (folder / STOPPED).exists() else None


def end_with_launcher() -> None:
    """End this process as soon as its parent, or the launcher that its environment names, is gone.

    Else a training whose launcher was killed would go on, and write over the one after it. The
    launcher may be gone before this process has come so far.
    """
    parent = os.getppid()
    launcher = int(os.environ.get(LAUNCHER, parent))

    def watch() -> None:
        while os.getppid() == parent and is_running(launcher):
            time.sleep(0.5)
        try:
            print("the launcher of this training is gone, so it ends", file=sys.stderr, flush=True)
        finally:  # whoever read that may be gone as well
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def is_running(process: int) -> bool:
    """Return whether there is a process of that id."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
