"""A study that is published, and cloned."""

import os
import subprocess
import sys
from pathlib import Path

from study import Study


def command(folder: Path, *words: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(folder / "workflow")}
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def clone(origin: Study, folder: Path) -> Study:
    """Return a git clone of a study."""
    command(folder.parent, "git", "clone", "--quiet", str(origin.folder), str(folder))
    return Study.lying_in(folder, origin.overlay)


def legor1(study: Study, *words: str) -> None:
    command(study.folder, sys.executable, "-m", "legor1.cli.main", *words)


def publish(study: Study, run: str) -> None:
    """Publish a run, and commit all."""
    legor1(study, "publish", run)
    command(study.folder, "git", "add", "--all")
    who = ("-c", "user.name=a", "-c", "user.email=a@b.example")
    command(study.folder, "git", *who, "commit", "--quiet", "--message", "x")
