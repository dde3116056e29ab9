"""Files that cross a stage: written whole or not at all, read with errors that name the row."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from legor1.errors import UserError


@contextlib.contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary sibling of ``path`` that replaces it only if the block succeeds.

    The data are on disk before the rename, so a crash leaves the old file or the new one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling folder that replaces the folder ``path`` if the block succeeds.

    Folders cannot be exchanged in one step: after a crash there is the old one, the new one, or
    none, never a part of one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        temporary.chmod(0o755)
        sync(temporary)
        if path.exists():
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
            path.replace(old)
            shutil.rmtree(old)
        temporary.replace(path)
        sync(path.parent, deep=False)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sync(folder: Path, *, deep: bool = True) -> None:
    """Put a folder's entries on disk; with ``deep`` all that is in it, to the bottom."""
    for path in [*(folder.rglob("*") if deep else ()), folder]:
        if path.is_file() or path.is_dir():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path | str, rows: Iterable[dict]) -> int:
    """Write one JSON object a line, atomically; return how many."""
    count = 0
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"{path} does not exist. Remedy: run the stage that makes it first."
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as JSON: {error}. Remedy: make it again."
        ) from error


def read_jsonl(path: Path | str, require: Iterable[str] = ()) -> list[dict]:
    """Read one JSON object a line; every row must have the keys in ``require``.

    Raises:
        UserError: the file is missing, or a line is not such an object (named by its number).
    """
    return [row for _, row in stream_jsonl(path, require)]


def stream_jsonl(path: Path | str, require: Iterable[str] = ()) -> Iterator[tuple[int, dict]]:
    """Yield the number and the row of each line that is not blank, one at a time.

    Raises:
        UserError: as ``read_jsonl``.
    """
    require = list(require)
    try:
        with Path(path).open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, _row(line, require, f"{path}, line {number}")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}. Remedy: make it again.") from error


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


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
