"""The objects that DVC keeps for a published run: brought here, and files compared with them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from legor1.errors import UserError
from legor1.publishing.dvc import dvc
from legor1.publishing.outputs import hashed

SHOWN = 3  # files named in an error


def fetch(run: Path, wanted: Mapping[str, str]) -> None:
    """Bring the objects of published outputs into this clone's cache.

    Args:
        run: the run's folder.
        wanted: output → hash.

    Raises:
        UserError: some cannot be had; names the files that they are of.
    """
    try:
        dvc("fetch", *(str(run / name) for name in wanted))
    except UserError as error:
        lacking = list(_lacking(run, wanted))
        if not lacking:
            raise
        more = f" and {len(lacking) - SHOWN:,} more" if len(lacking) > SHOWN else ""
        raise UserError(
            f"{error} Missing or damaged in the remote: {', '.join(lacking[:SHOWN])}{more}. "
            "Remedy, where the remote can be reached: delete such an object in it, and publish "
            "again where the run was made."
        ) from error


def verify(run: Path, wanted: Mapping[str, str]) -> None:
    """Check that outputs on disk are those that were published.

    Raises:
        UserError: names the first file that is missing or differs.
    """
    found = hashed(run, wanted)
    for name, md5 in wanted.items():
        if name in found and found[name].md5 == md5:
            continue
        cache, files = _cache(), found[name].files if name in found else {}
        each = _contents(cache, md5)
        for file in sorted(each.keys() | files.keys()):
            if each.get(file) != files.get(file):
                raise UserError(
                    f"{run / name / file} is not what was published. Remedy: delete it, and "
                    f"{_object(cache, each.get(file, md5))}, where its object may be damaged; then "
                    "restore again. If that changes nothing, publish again where the run was made."
                )


def _lacking(run: Path, wanted: Mapping[str, str]) -> Iterator[str]:
    """Yield the files that the cache has no object of, each with the object's name."""
    cache = _cache()
    for name, md5 in wanted.items():
        for file, each in _contents(cache, md5).items():
            if not _object(cache, each).exists():
                yield f"{run / name / file} ({_object(Path('files/md5'), each)})"


def _contents(cache: Path, md5: str) -> dict[str, str]:
    """Return file below an output → its hash; the output itself is ``.``, as far as is known."""
    path = _object(cache, md5)
    if not (md5.endswith(".dir") and path.exists()):
        return {".": md5}
    entries = json.loads(path.read_text(encoding="utf-8"))
    return {one["relpath"]: one["md5"] for one in entries}


def _cache() -> Path:
    return Path(dvc("cache", "dir").strip()) / "files" / "md5"


def _object(cache: Path, md5: str) -> Path:
    return cache / md5[:2] / md5[2:]
