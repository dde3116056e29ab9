"""What a dataset tree consists of: every file's size and SHA-256, to tell trees apart."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from legor1.core import files
from legor1.core.errors import UserError
from legor1.core.files import Rejected, locate
from legor1.core.progress import Progress
from legor1.data.lego_arta.dialogues import storable

RECORD = ".manifest.json"  # in a downloaded folder: the manifest of what was downloaded, and whence
READERS = 4  # threads; hashing and reading both let other threads run

Manifest = dict[str, Any]
T = TypeVar("T")


def manifest(tree: Path) -> Manifest:
    """Return the content of manifest.json: size (bytes) and sha256 by relative posix path.

    Hidden files and folders are left out, since downloads leave their own notes there. A tree that
    was downloaded must still be what was downloaded, and its repository and commit are named.

    Raises:
        UserError: no such folder, an empty one, a link that leads out of it, a file name that no
            JSON can hold, or a downloaded tree that has changed.
    """
    root = Path(tree).resolve()
    names = sorted(visible(root))
    if not names:
        raise UserError(
            f"{tree} is not a folder with files in it. "
            "Remedy: give the dataset's folder, or draw one with 'legor1 synthesize'."
        )
    for name in names:
        if storable(name) != name:
            raise UserError(
                f"{tree}: the file name {name!a} is not UTF-8. Remedy: rename the file."
            )
    content = describe(dict(zip(names, for_each(names, lambda n: entry(root, n)), strict=True)))
    record = recorded(root)
    if record:
        _compare(root, content["files"], record["files"])
        content["source"] = record["source"]
    return content


def describe(entries: dict[str, Any], source: dict[str, str] | None = None) -> Manifest:
    """Return a manifest of ``entries``, in the order of their names.

    Args:
        entries: name → size and sha256.
        source: repo, revision and commit, if they were downloaded.
    """
    total = sum(one["size"] for one in entries.values())
    content = {"schema_version": 1, "files": dict(sorted(entries.items())), "total_bytes": total}
    return content | ({"source": source} if source else {})


def verify(tree: Path, manifest: Manifest) -> None:
    """Check that the tree holds every file of the manifest, unchanged.

    Raises:
        UserError: names the first file that is missing or differs.
    """
    root, names = Path(tree).resolve(), sorted(manifest["files"])
    found = dict(zip(names, for_each(names, lambda name: entry(root, name)), strict=True))
    _compare(root, found, manifest["files"])


def write_manifest(tree: Path, out: Path) -> dict[str, int]:
    """Write manifest.json and return the number of files and bytes."""
    content = manifest(tree)
    files.write_json(out, content)
    return {"files": len(content["files"]), "bytes": content["total_bytes"]}


def recorded(folder: Path) -> Manifest | None:
    """Return the manifest that a finished download left in ``folder``, if there is one.

    Raises:
        UserError: it cannot be read.
    """
    path = Path(folder) / RECORD
    if not path.is_file():
        return None
    record = files.read_json(path)
    try:
        entries = [(one["size"], one["sha256"]) for one in record["files"].values()]
        source = [record["source"][key] for key in ("repo", "revision", "commit")]
    except (AttributeError, KeyError, TypeError):
        entries, source = [], []
    if not entries or not all(isinstance(text, str) for text in source):
        raise UserError(
            f"{path} is no manifest of a download. Remedy: delete it, and fetch again if the "
            "folder was downloaded."
        )
    return record


def visible(root: Path) -> list[str]:
    """Return the relative posix paths of the files below ``root`` that are not hidden."""
    names = []
    for folder, folders, entries in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names += [Path(folder, name) for name in entries if not name.startswith(".")]
    return [path.relative_to(root).as_posix() for path in names]


def for_each(names: Iterable[str], act: Callable[[str], T]) -> list[T]:
    """Return what ``act`` makes of each name, in their order; several are read at a time."""
    names = list(names)
    with ThreadPoolExecutor(min(READERS, os.cpu_count() or 1)) as pool:
        try:
            return list(Progress(pool.map(act, names), "Checking", len(names), unit="files"))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def entry(root: Path, name: str) -> dict[str, Any]:
    """Return size (bytes) and sha256 of the file ``name`` below the resolved ``root``.

    Raises:
        UserError: there is no such file, it leads out of ``root``, or it cannot be read.
    """
    try:
        path = locate(root, name)
        return {"size": path.stat().st_size, "sha256": files.sha256(path)}
    except (Rejected, OSError) as error:
        raise UserError(
            f"{root / name}: {error}. Remedy: fetch or draw the dataset again."
        ) from error


def _compare(root: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            stranger = "is not in" if name not in wanted else "differs from"
            raise UserError(
                f"{root / name} {stranger} the manifest. Remedy: fetch or draw the dataset again, "
                f"or make a new manifest (of a downloaded folder that you changed on purpose, "
                f"delete {RECORD})."
            )
