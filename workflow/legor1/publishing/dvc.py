"""Running DVC: one command at a time, its errors with their remedies."""

import contextlib
import fcntl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from legor1.core.errors import UserError

LOCK = Path(".snakemake/dvc.lock")
# What DVC says → what the user can do.
REMEDIES = {
    "not inside of a dvc repository": "work in a git clone of this project",
    "not a git repository": "work in a git clone of this project",
    "no default remote": "name one: dvc remote add --local --default NAME URL",
    "dvc-s3": "install it: .venv/bin/pip install --no-deps --require-hashes -r envs/s3.txt",
    "unsaved files": "they are not as they were published: move them away, or publish them first",
    "is busy": "another dvc is at work in this clone: wait for it, and try again",
}
OTHERWISE = "see that the remote can be reached (dvc remote list), and try again"


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep other processes of this clone from DVC: of two at once, one would fail."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("dvc: waiting for another process of this clone", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def dvc(*arguments: str) -> str:
    """Run DVC and return what it printed.

    Raises:
        UserError: it failed; says why, and the remedy.
    """
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = _reason(done.stderr or done.stdout)
        known = (remedy for said, remedy in REMEDIES.items() if said in reason.lower())
        raise UserError(f"dvc {arguments[0]}: {reason}. Remedy: {next(known, OTHERWISE)}.")
    return done.stdout


def require_remote() -> None:
    """Stop if there is nowhere to publish to.

    Raises:
        UserError: this is no clone of a project that uses DVC, or no remote is the default.
    """
    dvc("root")
    dvc("remote", "default")


def _reason(said: str) -> str:
    """Return the errors in what DVC said, on one line."""
    _, error, text = said.partition("ERROR: ")
    lines = (text if error else said).partition("Having any troubles?")[0].split("\n")
    return " ".join(" ".join(line.removeprefix("ERROR: ") for line in lines).split())
