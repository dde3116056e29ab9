"""DVC at work: one command at a time, and the objects that it keeps for a published run."""

import contextlib
import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from legor1.core.errors import UserError
from legor1.core.files import locked
from legor1.publishing.outputs import hashed, misplaced, pointer

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
OTHERWISE = "check that the remote can be reached (dvc remote list), and try again"
ENTRY = {"relpath", "md5"}  # of a folder's list, in DVC's words
MD5 = re.compile("[0-9a-f]{32}")
SHOWN = 3  # files named in an error


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep other processes of this clone from DVC: of two at once, one would fail."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as file:
        if not locked(file, seconds=0):
            print("dvc: waiting for another process of this clone", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def dvc(*arguments: str) -> str:
    """Run DVC and return what it printed; a UserError says why it failed, and the remedy."""
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode == 0:
        return done.stdout
    text = (done.stderr or done.stdout).partition("Having any troubles?")[0]
    text = text[max(text.find("ERROR: "), 0) :].replace("ERROR: ", "")
    reason = " ".join(text.split())
    known = (remedy for message, remedy in REMEDIES.items() if message in reason.lower())
    raise UserError(f"dvc {arguments[0]}: {reason}. Remedy: {next(known, OTHERWISE)}.")


def require_remote() -> None:
    """Stop with a UserError if there is nowhere to publish to."""
    dvc("root")
    dvc("remote", "default")


def fetch(run: Path, wanted: Mapping[str, str]) -> dict[str, Path]:
    """Bring the objects of published outputs into this clone's cache, and return where they lie.

    ``wanted`` is output → hash. Nothing is written elsewhere yet. DVC would later follow any path
    in a folder's list of files, so each is checked here to stay below the run's folder. A UserError
    says what the remote lacks, or what would be written elsewhere.
    """
    require_remote()
    failure = None
    try:
        dvc("fetch", *(str(run / name) for name in wanted))
    except UserError as error:
        failure = error
    cache = _cache()
    lacking = list(_lacking(run, wanted, cache))  # DVC is content with less than all
    if lacking:
        more = f" and {len(lacking) - SHOWN:,} more" if len(lacking) > SHOWN else ""
        raise UserError(
            f"missing or damaged in the remote: {', '.join(lacking[:SHOWN])}{more}. Remedy: delete "
            "such objects in the remote, and publish again where the run was made"
            + (f", unless DVC has another reason: {failure}" if failure else ".")
        ) from failure
    if failure:
        raise failure
    _check_places(run, _files(run, wanted, cache), cache)
    return {name: _object(cache, md5) for name, md5 in wanted.items()}


def _check_places(run: Path, paths: Iterable[str], cache: Path) -> None:
    """Refuse files that would not lie below the run's folder."""
    paths = list(paths)
    if (wrong := misplaced(paths)) is not None:
        raise UserError(
            f"{pointer(run)}: {wrong!r} is no path of its own below {run}, so nothing was "
            "restored. Remedy: do not use this publication; publish the run again where it was "
            "made."
        )
    homes = [os.path.realpath(home) for home in (run, cache)]  # DVC may be set to make links
    folders = {str(above) for path in paths for above in PurePosixPath(path).parents}
    for name in [*sorted(folders), *(path for path in paths if (run / path).is_symlink())]:
        real = Path(os.path.realpath(run / name))
        if not any(real.is_relative_to(home) for home in homes):
            raise UserError(
                f"{run / name} is a link to {real}, outside of the run, and restoring would write "
                "there. Remedy: remove the link and restore again."
            )


def verify(run: Path, wanted: Mapping[str, str]) -> None:
    """Check outputs on disk by ``wanted``, output → hash; a UserError names the first wrong."""
    actual = hashed(run, wanted)
    hashes = {name: output.md5 for name, output in actual.items()}
    wrong = {name: md5 for name, md5 in wanted.items() if hashes.get(name) != md5}
    if not wrong:
        return
    here = {
        name if file == "." else f"{name}/{file}": md5
        for name in actual.keys() & wrong
        for file, md5 in actual[name].files.items()
    }
    cache = _cache()
    published = _files(run, wrong, cache)
    paths = published.keys() | here.keys()
    path = min(path for path in paths if published.get(path) != here.get(path))
    md5 = published.get(path)
    damaged = f" and {_object(cache, md5)}, which may be damaged," if md5 else ""
    raise UserError(
        f"{run / path} is not what was published. Remedy: delete it{damaged} and restore again; "
        "if that changes nothing, publish again where the run was made."
    )


def _lacking(run: Path, wanted: Mapping[str, str], cache: Path) -> Iterator[str]:
    """Yield the files that the cache has no object of, each with the objects to replace.

    A folder's list of files is among them: where it is, DVC takes its files to be there too.
    """
    for name, listing in wanted.items():
        for path, md5 in _files(run, {name: listing}, cache).items():
            if not _object(cache, md5).exists():
                objects = {str(_object(Path("files/md5"), each)) for each in (md5, listing)}
                yield f"{run / path} ({', '.join(sorted(objects))})"


def _files(run: Path, wanted: Mapping[str, str], cache: Path) -> dict[str, str]:
    """Return file → hash as published; a folder whose list is lost stands for its files."""
    known: dict[str, str] = {}
    for name, md5 in wanted.items():
        listing = _object(cache, md5)
        listed = md5.endswith(".dir") and listing.exists()
        entries = _entries(listing, run / name) if listed else {}
        known |= {f"{name}/{path}": each for path, each in entries.items()} or {name: md5}
    return known


def _entries(listing: Path, folder: Path) -> dict[str, str]:
    """Return path → hash of a folder's list of files, each path as it stands there."""
    try:
        rows = json.loads(listing.read_text(encoding="utf-8"))
        entries = {row["relpath"]: row["md5"] for row in rows if row.keys() == ENTRY}
        if len(entries) == len(rows) and all(map(MD5.fullmatch, entries.values())):
            return entries
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass
    raise UserError(
        f"the published list of the files in {folder} is damaged, so nothing was restored. "
        "Remedy: publish the run again where it was made."
    )


def _cache() -> Path:
    return Path(dvc("cache", "dir").strip()) / "files" / "md5"


def _object(cache: Path, md5: str) -> Path:
    return cache / md5[:2] / md5[2:]
