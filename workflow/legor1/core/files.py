"""Files that cross a stage: written whole or not at all, read with errors that name the row.

The dataset's tree is untrusted: ``locate`` and ``open_below`` check every path in it before a byte
is read.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import yaml

from legor1.core.errors import UserError

SETTLED = 1  # seconds after which a new temporary file is certainly held by its process
MISSING = "file missing"
LEAVES = "path leaves the tree"
REMAKE = "Remedy: correct it, or delete it and have the stage that writes it make it again."
# Neither a link nor a pipe, which would wait for a writer, is opened by mistake.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextlib.contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary sibling of ``path`` that replaces it only if the block succeeds.

    The data are on disk before the rename, so a crash leaves the old file or the new one. What
    killed processes left half written beside it is removed. A UserError says that nothing can be
    written there.
    """
    path = Path(path)
    with _beside(path, path.suffix) as temporary:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)


@contextlib.contextmanager
def atomic_folder(path: Path, marker: str | None = None) -> Iterator[Path]:
    """Yield a temporary sibling folder that replaces the folder ``path`` if the block succeeds.

    Folders cannot be exchanged in one step: after a crash there is the old one, the new one, or
    none, never a part of one. What killed processes left half written beside it is removed.

    With a ``marker``, a file that is in every folder which may be replaced, a UserError says that
    another folder is there; an empty one may be replaced, too.
    """
    empty = path.is_dir() and not any(path.iterdir())
    if marker and path.exists() and not (empty or (path / marker).is_file()):
        raise UserError(
            f"{path} exists and was not written by this command, so it is not replaced. "
            "Remedy: name another folder, or move this one away."
        )
    with _beside(path, folder=True) as temporary:
        yield temporary
        sync(temporary)
        if path.exists():
            old = _name(path)
            path.replace(old)
            shutil.rmtree(old)
        temporary.replace(path)
        sync(path.parent, deep=False)


@contextlib.contextmanager
def _beside(path: Path, suffix: str = "", *, folder: bool = False) -> Iterator[Path]:
    """Yield a new file or folder beside ``path``, locked for as long as this process needs it."""
    made = _name(path, suffix)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        if folder:
            made.mkdir()
        # Not by tempfile, which makes it the owner's alone.
        flags = os.O_RDONLY if folder else os.O_RDWR | os.O_CREAT | os.O_EXCL
        handle = os.open(made, flags, 0o666)
    except OSError as error:
        raise UserError(
            f"nothing can be written beside {path}: {error}. Remedy: name a place that can."
        ) from error
    try:
        with contextlib.suppress(OSError):  # a file system without locks: then nothing is swept
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield made
    finally:
        _remove(made)
        os.close(handle)


def _name(path: Path, suffix: str = "") -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{suffix}")


def _sweep(path: Path) -> None:
    """Remove the temporary siblings of ``path`` that no process holds any more."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}({re.escape(path.suffix)})?")
    for left in [sibling for sibling in path.parent.iterdir() if ours.fullmatch(sibling.name)]:
        with contextlib.suppress(OSError):  # it is held, or gone
            handle = os.open(left, os.O_RDONLY if left.is_dir() else os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(handle).st_mtime > SETTLED:
                    _remove(left)
            finally:
                os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def share(folder: Path) -> None:
    """Let all who may read a folder read its weights, which safetensors gives their owner alone."""
    for path in folder.glob("*.safetensors"):
        path.chmod(folder.stat().st_mode & 0o666)


def sync(folder: Path, *, deep: bool = True) -> None:
    """Put a folder's entries on disk; with ``deep`` all that is in it, to the bottom."""
    for path in [*(folder.rglob("*") if deep else ()), folder]:
        if path.is_file() or path.is_dir():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def locked(file: TextIO, seconds: float) -> bool:
    """Lock an open file for this process; return False if another keeps it for so many seconds."""
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > end:
                return False
        time.sleep(0.2)


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: object) -> None:
    """Write ``value`` as indented JSON, atomically; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path | str, rows: Iterable[Mapping[str, object]]) -> int:
    """Write one JSON object a line, atomically; return how many."""
    count = 0
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


def read_json(path: Path | str) -> Any:
    """Read a JSON file; a UserError names one that is missing or is not JSON."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        missing = f"{path} does not exist. Remedy: run the stage that makes it first."
        raise UserError(missing) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}. {REMAKE}") from error


def beside(module: str) -> Any:
    """Return the data in the YAML file beside a module, given its ``__file__``; lists as tuples."""
    return _fixed(yaml.safe_load(Path(module).with_suffix(".yaml").read_text(encoding="utf-8")))


def _fixed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _fixed(part) for name, part in value.items()}
    return tuple(map(_fixed, value)) if isinstance(value, list) else value


def read_jsonl(path: Path | str, require: Iterable[str] = ()) -> list[dict]:
    """Return one JSON object a line.

    A UserError names a missing file, or the first line that is not an object with the keys in
    ``require``.
    """
    return [row for _, row in stream_jsonl(path, require)]


def stream_jsonl(path: Path | str, require: Iterable[str] = ()) -> Iterator[tuple[int, dict]]:
    """Yield the number and row of each line that is not blank; raises as ``read_jsonl``."""
    require = list(require)
    try:
        with Path(path).open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, _row(line, require, f"{path}, line {number}")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}. {REMAKE}") from error


def _row(line: str, require: list[str], place: str) -> dict:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: not JSON ({error}). Remedy: mend or remove the line.") from error
    missing = require if not isinstance(row, dict) else [k for k in require if k not in row]
    if missing or not isinstance(row, dict):
        raise UserError(
            f"{place}: expected an object with {', '.join(require)}; "
            f"missing {', '.join(missing)}. Remedy: mend or remove the line."
        )
    return row


def is_plain(name: object) -> bool:
    """Return whether ``name`` is a relative path that can only lead further down.

    It has one spelling on every system, and nothing in it means something to git.
    """
    if not isinstance(name, str) or re.search(r"[\0\\\ud800-\udfff]", name):
        return False
    return {"", ".", "..", ".git"}.isdisjoint(name.casefold().split("/"))


class Rejected(Exception):
    """A row or file that cannot be used; the message is the reason, the same for all such rows."""


def locate(root: Path, relative: str) -> Path:
    """Return the regular file ``relative`` below ``root``, which must be a resolved path.

    ``Rejected`` if the path leaves the tree (by ``..``, by a symbolic link), or is no file.
    """
    try:
        path = (root / relative).resolve()
        if not path.is_relative_to(root):
            raise Rejected(LEAVES)
        if path.is_file():
            return path
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte, links in a circle
        pass
    raise Rejected(MISSING)


def open_below(root: Path, relative: str) -> BinaryIO:
    """Open a file as ``locate`` returns it; ``Rejected`` as there, or if it may not be read."""
    try:
        return os.fdopen(os.open(locate(root, relative), _FLAGS), "rb")
    except PermissionError as error:
        raise Rejected("file unreadable") from error
    except OSError as error:
        raise Rejected(MISSING) from error


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(recipe: Mapping[str, object], files: Iterable[Path], code: str) -> str:
    """Return 16 hexadecimal digits: interrupted work is resumed only where they are the same.

    They depend on the settings, the contents of the input files, and the digest of the code.
    """
    facts = json.dumps([recipe, [sha256(path) for path in files], code], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:16]
