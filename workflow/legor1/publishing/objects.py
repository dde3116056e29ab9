"""The objects that DVC keeps for a published run: brought here, and files compared with them."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from legor1.errors import UserError
from legor1.publishing.dvc import dvc, require_remote
from legor1.publishing.outputs import hashed

LISTING = ("--recursive", "--dvc-only", "--show-hash", "--json")
SHOWN = 3  # files named in an error


def fetch(run: Path, wanted: Mapping[str, str]) -> None:
    """Bring the objects of published outputs into this clone's cache.

    Args:
        run: the run's folder.
        wanted: output → hash.

    Raises:
        UserError: there is no remote, or it lacks some; names the files that they are of.
    """
    require_remote()
    reason = None
    try:
        dvc("fetch", *(str(run / name) for name in wanted))
    except UserError as error:
        reason = error
    lacking = list(_lacking(run, wanted))  # DVC is content with less than all
    if lacking:
        more = f" and {len(lacking) - SHOWN:,} more" if len(lacking) > SHOWN else ""
        raise UserError(
            f"missing or damaged in the remote: {', '.join(lacking[:SHOWN])}{more}. Remedy: delete "
            "such objects in the remote, and publish again where the run was made"
            + (f", unless DVC has another reason: {reason}" if reason else ".")
        ) from reason
    if reason:
        raise reason


def verify(run: Path, wanted: Mapping[str, str]) -> None:
    """Check that outputs on disk are those that were published.

    Args:
        run: the run's folder.
        wanted: output → hash.

    Raises:
        UserError: names the first file that is missing or differs.
    """
    found = hashed(run, wanted)
    wrong = {
        name: md5 for name, md5 in wanted.items() if name not in found or found[name].md5 != md5
    }
    if not wrong:
        return
    here = {
        Path(name, file): md5
        for name in found.keys() & wrong
        for file, md5 in found[name].files.items()
    }
    cache = _cache()
    each = _files(run, wrong, cache)
    path = min(path for path in each.keys() | here.keys() if each.get(path) != here.get(path))
    objects = f" and {_object(cache, each[path])}, which may be damaged," if path in each else ""
    raise UserError(
        f"{run / path} is not what was published. Remedy: delete it{objects} and restore again; "
        "if that changes nothing, publish again where the run was made."
    )


def _lacking(run: Path, wanted: Mapping[str, str]) -> Iterator[str]:
    """Yield the files that the cache has no object of, each with the objects to replace.

    A folder's list of files is among them: where it is, DVC takes its files to be there too.
    """
    cache, remote = _cache(), Path("files/md5")
    for name, listing in wanted.items():
        for path, md5 in _files(run, {name: listing}, cache).items():
            if not _object(cache, md5).exists():
                objects = {str(_object(remote, each)) for each in (md5, listing)}
                yield f"{run / path} ({', '.join(sorted(objects))})"


def _files(run: Path, wanted: Mapping[str, str], cache: Path) -> dict[Path, str]:
    """Return file below the run's folder → hash as it was published.

    A folder whose list of files cannot be had stands for its files.
    """
    known: dict[Path, str] = {}
    for name, md5 in wanted.items():
        entries = []
        if _object(cache, md5).exists() and md5.endswith(".dir"):
            listed = json.loads(_object(cache, md5).read_text(encoding="utf-8"))
            entries = [(one["relpath"], one["md5"]) for one in listed]
        elif md5.endswith(".dir"):
            with contextlib.suppress(UserError):
                listed = json.loads(dvc("list", ".", str(run / name), *LISTING))
                entries = [(one["path"], one["md5"]) for one in listed]
        known |= {Path(name, path): md5 for path, md5 in entries} or {Path(name): md5}
    return known


def _cache() -> Path:
    return Path(dvc("cache", "dir").strip()) / "files" / "md5"


def _object(cache: Path, md5: str) -> Path:
    return cache / md5[:2] / md5[2:]
