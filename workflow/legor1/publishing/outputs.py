"""What of a run is published, with the hashes that DVC knows it by.

A file's hash is its MD5; a folder's is the MD5 of a list of its files and theirs, and ends in .dir.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

from legor1.errors import UserError

POINTERS = Path("published")  # of this clone, in git
RECORDS = "snakemake.json"  # below the run's folder: how its files were made
LOCAL = ("work", "logs", "benchmarks", RECORDS)  # no output; the records are written on the way
SPLIT = ("data", "base", "adapters")  # each entry is an output of its own: a tree, an adapter
READERS = 4  # threads; hashing and reading both let other threads run


@dataclass(frozen=True)
class Output:
    """One output of a run: what DVC calls it.

    Attributes:
        md5: of the file, or of the folder's listing (then it ends in ``.dir``).
        size: bytes of all its files.
        files: posix path below a folder → MD5; the file itself is ``.``.
    """

    md5: str
    size: int
    files: dict[str, str]


def pointer(run: Path) -> Path:
    """Return where git keeps the hashes of the run in the folder ``run``."""
    return POINTERS / f"{run.name}.dvc"


def published(run: Path) -> dict[str, str]:
    """Return output → hash as they were published.

    Raises:
        UserError: the run was not published, or its pointer is damaged.
    """
    path = pointer(run)
    try:
        outs = yaml.safe_load(path.read_text(encoding="utf-8"))["outs"]
        return {one["path"]: one["md5"] for one in outs}
    except FileNotFoundError as error:
        raise UserError(
            f"{path} does not exist, so run {run.name} was not published here. Remedy: fetch the "
            f"commit that has it, or publish the run where it was made: make publish RUN={run.name}"
        ) from error
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise UserError(
            f"{path} names no outputs with their hashes ({error!r}). Remedy: check it out with "
            "git again, or publish again."
        ) from error


def listed(run: Path) -> list[str]:
    """Return the outputs in the folder ``run``, as sorted posix paths below it."""
    names: list[str] = []
    for path in run.iterdir():
        if path.name.startswith(".") or path.name in LOCAL:
            continue
        inner = path.iterdir() if path.name in SPLIT else [path]
        names += [one.relative_to(run).as_posix() for one in inner if one.name[0] != "."]
    return sorted(names)


def hashed(run: Path, names: Iterable[str]) -> dict[str, Output]:
    """Return the outputs ``names`` as they are on disk; those that are missing are left out.

    Links are followed, so a linked dataset tree counts by its content.
    """
    found = {name: files_of(run / name) for name in names if (run / name).exists()}
    paths = [run / name / file for name, files in found.items() for file in files]
    with ThreadPoolExecutor(READERS) as pool:
        hashes = dict(zip(paths, pool.map(_md5, paths), strict=True))
    made = {}
    for name, files in found.items():
        each = {file: hashes[run / name / file] for file in files}
        size = sum((run / name / file).stat().st_size for file in files)
        made[name] = Output(_listing(each) if (run / name).is_dir() else each["."], size, each)
    return made


def files_of(path: Path) -> list[str]:
    """Return the files below an output, as sorted posix paths; of a file, ``.``."""
    if not path.is_dir():
        return ["."]
    below = [
        Path(folder, name).relative_to(path).as_posix()
        for folder, _, names in os.walk(path, followlinks=True)
        for name in names
    ]
    return sorted(below)


def _listing(files: dict[str, str]) -> str:
    """Return DVC's hash of a folder."""
    entries = [{"md5": md5, "relpath": name} for name, md5 in files.items()]
    return hashlib.md5(json.dumps(entries).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
