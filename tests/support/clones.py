"""A clone of a project with this one's DVC settings, and a finished run in it."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from legor1.publishing.publish import publish

ROOT = Path(__file__).parents[2]
RUN = Path("results/tiny")
CONTENT = {
    "config.json": "{}",
    "table.csv": "a table\n",
    "report.html": "a report\n",
    "data/manifest.json": "{}",
    "data/tree/a/ö 1.png": "a picture",
    "data/tree/a.png": "another picture",
    "adapters/sft/run.json": json.dumps({"recipe": {"seed": 1, "device": "cuda"}}),
    "adapters/sft/adapter/adapter_model.safetensors": "weights",
    "logs/train.log": "what a job said",
    "work/checkpoint/optimizer.pt": "moments",
}


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b.example", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def start(folder: Path) -> None:
    """Make ``folder`` a git repository that ignores what this one does and has its DVC settings."""
    (folder / ".dvc").mkdir(parents=True)
    for name in (".gitignore", ".dvc/config", ".dvc/.gitignore"):
        shutil.copy2(ROOT / name, folder / name)
    git(folder, "init", "--quiet")
    commit(folder)


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "x")


def finish_run(folder: Path) -> None:
    """Put a run below ``folder`` as if Snakemake had made it, a long time ago."""
    for name, text in CONTENT.items():
        path = folder / RUN / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    record = (
        folder
        / ".snakemake/metadata"
        / base64.urlsafe_b64encode(str(RUN / "table.csv").encode()).decode()
    )
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"rule": "compile_table", "endtime": 1e9 + 0.5}))


def publish_run(folder: Path) -> Path:
    """Publish the run of the clone ``folder``, and commit its pointer; return the folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        publish(RUN)
    commit(folder)
    return folder


def objects(remote: Path, text: str) -> list[Path]:
    """Return the objects in a remote that hold ``text``."""
    return [path for path in remote.rglob("*") if path.is_file() and path.read_text() == text]
