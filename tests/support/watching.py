"""Watching trainings from outside: their processes, their checkpoints, and what is yet to come."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def wait_for(what: Callable[[], Any], seconds: float = 600, poll: float = 0.05) -> Any:
    """Return what ``what()`` returns, once that is true."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(poll)
    return found


def saved(work: Path) -> list[int]:
    """Return the steps of the whole checkpoints below ``work``."""
    marked = work.glob("*/checkpoint-*/whole.json")
    return sorted(int(path.parent.name.rpartition("-")[2]) for path in marked)


def processes(fits: Callable[[str], bool]) -> list[int]:
    """Return the processes whose command line, its words ended by NUL, ``fits``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode()
        except OSError:
            continue
        if fits(command):
            found.append(int(path.parent.name))
    return found
