"""The objects that DVC keeps for a published run: brought here, and files compared with them."""

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from legor1.core.errors import UserError
from legor1.publishing.dvc import dvc, require_remote
from legor1.publishing.outputs import hashed, misplaced, pointer

LISTING = ("--recursive", "--dvc-only", "--show-hash", "--json")
ENTRY = {"relpath", "md5"}  # of a folder's list, in DVC's words
MD5 = re.compile("[0-9a-f]{32}")
SHOWN = 3  # files named in an error


def fetch(run: Path, wanted: Mapping[str, str]) -> dict[str, Path]:
    """Bring the objects of published outputs into this clone's cache, and return where they lie.

    Nothing is written elsewhere yet. DVC would later follow any path in a folder's list of files,
    so it is seen to here that each stays below the run's folder.

    Args:
        run: the run's folder.
        wanted: output → hash.

    Raises:
        UserError: there is no remote, or it lacks some objects; names the files that they are of.
            Or a file would be written elsewhere.
    """
    require_remote()
    reason = None
    try:
        dvc("fetch", *(str(run / name) for name in wanted))
    except UserError as error:
        reason = error
    cache = _cache()
    lacking = list(_lacking(run, wanted, cache))  # DVC is content with less than all
    if lacking:
        more = f" and {len(lacking) - SHOWN:,} more" if len(lacking) > SHOWN else ""
        raise UserError(
            f"missing or damaged in the remote: {', '.join(lacking[:SHOWN])}{more}. Remedy: delete "
            "such objects in the remote, and publish again where the run was made"
            + (f", unless DVC has another reason: {reason}" if reason else ".")
        ) from reason
    if reason:
        raise reason
    _check_places(run, _files(run, wanted, cache), cache)
    return {name: _object(cache, md5) for name, md5 in wanted.items()}


def _check_places(run: Path, paths: Iterable[str], cache: Path) -> None:
    """Refuse files that would not lie below the run's folder.

    Raises:
        UserError: names the first.
    """
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
        name if file == "." else f"{name}/{file}": md5
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


def _lacking(run: Path, wanted: Mapping[str, str], cache: Path) -> Iterator[str]:
    """Yield the files that the cache has no object of, each with the objects to replace.

    A folder's list of files is among them: where it is, DVC takes its files to be there too.
    """
    remote = Path("files/md5")
    for name, listing in wanted.items():
        for path, md5 in _files(run, {name: listing}, cache).items():
            if not _object(cache, md5).exists():
                objects = {str(_object(remote, each)) for each in (md5, listing)}
                yield f"{run / path} ({', '.join(sorted(objects))})"


def _files(run: Path, wanted: Mapping[str, str], cache: Path) -> dict[str, str]:
    """Return file, as it stands in the lists → hash as it was published.

    A folder whose list of files cannot be had stands for its files.

    Raises:
        UserError: a list is damaged.
    """
    known: dict[str, str] = {}
    for name, md5 in wanted.items():
        entries: dict[str, str] = {}
        if md5.endswith(".dir") and _object(cache, md5).exists():
            entries = _entries(_object(cache, md5), run / name)
        elif md5.endswith(".dir"):
            with contextlib.suppress(UserError):
                listed = json.loads(dvc("list", ".", str(run / name), *LISTING))
                entries = {one["path"]: str(one.get("md5")) for one in listed}
        known |= {f"{name}/{path}": md5 for path, md5 in entries.items()} or {name: md5}
    return known


def _entries(listing: Path, folder: Path) -> dict[str, str]:
    """Return path → hash of a folder's list of files, each path as it stands there.

    Raises:
        UserError: it is no such list, or has a path twice.
    """
    try:
        listed = json.loads(listing.read_text(encoding="utf-8"))
        entries = {one["relpath"]: one["md5"] for one in listed if one.keys() == ENTRY}
        if len(entries) == len(listed) and all(map(MD5.fullmatch, entries.values())):
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
