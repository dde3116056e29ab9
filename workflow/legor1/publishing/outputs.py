"""What of a run is published, with the hashes that DVC knows it by.

A file's hash is its MD5; a folder's is the MD5 of a list of its files and theirs, and ends in .dir.
"""

import hashlib
import json
import os
import unicodedata
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

from legor1.core import files
from legor1.core.errors import UserError

SCHEMA = Path(__file__).parents[2] / "schemas/pointer.schema.json"
POINTERS = Path("published")  # of this clone, in git
RECORDS = "snakemake.json"  # below the run's folder: how its files were made
LOCAL = ("work", "logs", "benchmarks", RECORDS)  # no output; the records are written on the way
SPLIT = ("data", "base", "adapters")  # each entry is an output of its own: a tree, an adapter
READERS = 4  # threads; hashing and reading both let other threads run


@dataclass(frozen=True)
class Output:
    """One output of a run: its hash, its bytes, and posix path below it → MD5 (a file is ``.``)."""

    md5: str
    size: int
    files: dict[str, str]


def pointer(run: Path) -> Path:
    """Return where git keeps the hashes of the run in the folder ``run``."""
    return POINTERS / f"{run.name}.dvc"


def published(run: Path) -> dict[str, str]:
    """Return output → hash as they were published; a UserError if they were not."""
    path = pointer(run)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"{path} does not exist, so run {run.name} was not published here. Remedy: fetch the "
            f"commit that has it, or publish the run where it was made: make publish RUN={run.name}"
        ) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        content = f"no YAML ({error})"
    wrong = list(Draft202012Validator(files.read_json(SCHEMA)).iter_errors(content))
    if wrong:
        fault = "; ".join(f"{error.json_path}: {error.message}" for error in wrong[:3])
    elif content["wdir"] != within(run):
        fault = f"wdir is {content['wdir']}, not {within(run)}"
    else:
        hashes = {out["path"]: out["md5"] for out in content["outs"]}
        strange = [name for name in hashes if not _is_output(name)]
        if not strange and len(hashes) == len(content["outs"]):
            return hashes
        fault = f"{strange[0]!r} is no output" if strange else "an output stands there twice"
    raise UserError(
        f"{path} names no outputs of the run with their hashes ({fault}). "
        "Remedy: check it out with git again, or publish again."
    )


def within(run: Path) -> str:
    """Return the run's folder as its pointer names it."""
    return os.path.relpath(run, POINTERS)


def _is_output(name: str) -> bool:
    first, *more = parts = name.split("/")
    shaped = len(more) == (first in SPLIT) and not any(part.startswith(".") for part in parts)
    return shaped and files.is_plain(name) and (name == RECORDS or first not in LOCAL)


def misplaced(paths: Iterable[str]) -> str | None:
    """Return the first of the files' paths that cannot be restored below a run everywhere.

    It may lead elsewhere, or to where another file lies: on some systems ``A`` is ``a``, and a
    letter with its accent is one character or two.
    """
    taken: dict[str, bool] = {}  # path → whether it is a file
    for path in paths:
        folded = unicodedata.normalize("NFC", path.casefold())
        above = [folded[:at] for at, letter in enumerate(folded) if letter == "/"]
        if not files.is_plain(path) or folded in taken or any(map(taken.get, above)):
            return path
        taken |= dict.fromkeys(above, False) | {folded: True}
    return None


def listed(run: Path) -> list[str]:
    """Return the outputs in the folder ``run``, as sorted posix paths below it."""
    names: list[str] = []
    for path in run.iterdir():
        if path.name.startswith(".") or path.name in LOCAL:
            continue
        inner = path.iterdir() if path.name in SPLIT else [path]
        names += [path.relative_to(run).as_posix() for path in inner if path.name[0] != "."]
    return sorted(names)


def hashed(run: Path, names: Iterable[str]) -> dict[str, Output]:
    """Return those of the outputs ``names`` that are on disk; links count by their content."""
    outputs = {}
    with ThreadPoolExecutor(READERS) as pool:
        for name in (name for name in names if (run / name).exists()):
            files = files_of(run / name)
            paths = [run / name / file for file in files]
            each = dict(zip(files, pool.map(_md5, paths), strict=True))
            if not (md5 := each.get(".")):
                listing = json.dumps([{"md5": own, "relpath": file} for file, own in each.items()])
                md5 = hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest() + ".dir"
            outputs[name] = Output(md5, sum(path.stat().st_size for path in paths), each)
    return outputs


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


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
