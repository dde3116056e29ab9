"""A run's files while others write them: read as far as they are whole, and nothing is written.

What is missing, vanishes meanwhile, or is damaged reads as empty.
"""

import contextlib
import json
import os
import unicodedata
from pathlib import Path
from typing import Any

from legor1.core.errors import UserError
from legor1.core.files import read_json
from legor1.core.layout import IN_RUN
from legor1.training import work_folder

CONFIG, STARTED = IN_RUN.config, IN_RUN.started_config  # of the report, and of the last start
TAIL = 4096  # bytes at the end of a log that are looked at

Record = dict[str, Any]


def config(run: Path) -> tuple[Record, str]:
    """Return the resolved config of a run and the file below ``run`` that it stands in.

    It is the report's, or that of the last start if it is another and newer; a UserError if there
    is none, or it is damaged.
    """
    made, started = run / CONFIG, json_object(run / STARTED)
    last, begun = (changed(run / name) or 0.0 for name in (CONFIG, STARTED))
    if started and begun > last and json_object(made) != started:
        resolved, file = started, STARTED
    elif last:
        resolved, file = read_json(made), CONFIG
    else:
        raise UserError(
            f"{made} does not exist, nor does {run / STARTED}, which Snakemake writes as it "
            "starts. Remedy: start the study, or say what its config is: "
            f"legor1 config OVERLAY … --out {made}"
        )
    with contextlib.suppress(AttributeError, KeyError, TypeError):
        experiments = resolved["experiments"].values()
        if resolved["evaluation"] and all("method" in settings for settings in experiments):
            return resolved, file
    raise UserError(
        f"{run / file} is no config as `legor1 config` writes it. "
        f"Remedy: write it again: legor1 config OVERLAY … --out {run / file}"
    )


def conversations(config: Record, experiment: str, side: str) -> str:
    """Return the conversations of ``train`` or ``test`` that an experiment is given."""
    settings = config.get("experiments", {}).get(experiment, {})
    protocol, variant = settings.get("protocol", "sound"), settings.get("variant", "plain")
    return IN_RUN.data.conversations(protocol, variant, side)


def evaluations(config: Record) -> list[str]:
    """Return the protocols of evaluation."""
    return list(config["evaluation"].get("protocols", ["sound"]))


def json_object(path: Path) -> Record:
    """Return the object in a JSON file."""
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(content(path))
        return value if isinstance(value, dict) else {}
    return {}


def rows(path: Path) -> list[Record]:
    """Return the objects in a file of JSON lines, up to the first line that is not whole."""
    records: list[Record] = []
    with contextlib.suppress(ValueError, RecursionError):
        for line in content(path).split(b"\n")[:-1]:
            row = json.loads(line)
            if not isinstance(row, dict):
                break
            records.append(row)
    return records


def tail(path: Path) -> list[str]:
    """Return the last lines of a text file that are not blank, without control characters."""
    lines = content(path, TAIL).decode("utf-8", "replace").replace("\r", "\n").split("\n")
    return [line for line in map(clean, lines) if line]


def changed(path: Path) -> float | None:
    """Return when a file was last changed, in seconds since 1970; None if there is none."""
    try:
        return path.stat().st_mtime
    except (OSError, ValueError):  # a name may be none that can exist
        return None


def clean(text: str) -> str:
    """Return a text on one line that does nothing to a terminal: no control characters."""
    kept = (" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in text)
    return " ".join("".join(kept).split())


def trainings(run: Path) -> dict[str, Path]:
    """Return experiment → the work folder of its training, the one last changed if it has more."""
    latest: dict[str, tuple[float, Path]] = {}
    for folder in _entries(run / IN_RUN.work):
        recipe = json_object(folder / "job.json").get("recipe")
        name = recipe.get("experiment") if isinstance(recipe, dict) else None
        if isinstance(name, str):
            times = (changed(path) or 0.0 for path in _entries(folder))
            seen = (max(times, default=0.0), folder)
            latest[name] = max(latest.get(name, (0.0, folder)), seen)
    return {name: folder for name, (_, folder) in latest.items()}


def step(folder: Path) -> Record:
    """Return the note of where the training in a work folder stands; empty before its first."""
    note = json_object(folder / work_folder.PROGRESS)
    return note if all(isinstance(note.get(key), int) for key in ("step", "steps")) else {}


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (OSError, ValueError):
        return []


def content(path: Path, last: int | None = None) -> bytes:
    """Return the content of a regular file, or its ``last`` bytes."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return b""
        with path.open("rb") as file:
            if last:
                file.seek(max(0, os.fstat(file.fileno()).st_size - last))
            return file.read()
    except OSError:
        return b""
