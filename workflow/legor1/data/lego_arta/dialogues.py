"""The dialogue files of LEGO-ARTA: streams of JSON arrays, each an array of turns."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from legor1.core.files import Rejected
from legor1.tasks.discovery import TASKS

FILES = {file: task.name for task in TASKS.values() for file in task.rows.files}
ROLES = ("user", "assistant")
_NOT_BLANK = re.compile(r"\S")


class Dialogue(NamedTuple):
    """The first question and answer of one dialogue, stripped, and where it stands."""

    file: str  # posix path relative to the tree
    position: int  # in its file, counted from 1
    image: str  # its URI as written
    prompt: str
    answer: str


def find_files(root: Path) -> list[tuple[str, Path]]:
    """Return (task, path) of every dialogue file below ``qwen_data``, however deep."""
    paths = [path for path in (root / "qwen_data").rglob("*.jsonl") if path.name in FILES]
    paths.sort(key=lambda path: (list(FILES).index(path.name), len(path.parts), path.as_posix()))
    return [(FILES[path.name], path) for path in paths]


def read_values(path: Path, begin: str = "\n[") -> Iterator[object]:
    """Yield the JSON values of a stream; what is not JSON is yielded as a ``Rejected``.

    After such a stretch, reading goes on at the next line that begins as ``begin`` says.
    """
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    decoder, position = json.JSONDecoder(), 0
    while start := _NOT_BLANK.search(text, position):
        try:
            value, position = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            value = Rejected("not JSON")
            position = text.find(begin, start.end()) + 1 or len(text)
        yield value


def dialogue(value: object, file: str, position: int) -> Dialogue:
    """Return what the first user turn and the first assistant turn say.

    ``Rejected`` if it is no array of turns, or without an image or a prompt.
    """
    if not isinstance(value, list) or not all(isinstance(turn, dict) for turn in value):
        raise Rejected("not a dialogue")
    first = {turn.get("role"): turn for turn in reversed(value) if turn.get("role") in ROLES}
    images, prompt = _content(first.get("user", {}))
    if not images:
        raise Rejected("no image in the dialogue")
    if not prompt:
        raise Rejected("no prompt in the dialogue")
    return Dialogue(file, position, images[0], prompt, _content(first.get("assistant", {}))[1])


def storable(text: str) -> str:
    """Return ``text`` with what UTF-8 cannot hold (lone surrogates) replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _content(turn: dict) -> tuple[list[str], str]:
    """Return the images of a turn, and its text."""
    content = turn.get("content")
    if isinstance(content, str):
        return [], storable(content).strip()
    images: list[str] = []
    texts: list[str] = []
    for part in content if isinstance(content, list) else []:
        kind = part.get("type") if isinstance(part, dict) else None
        value = part.get(kind) if kind in ("image", "text") else None
        if isinstance(value, str) and value:
            (images if kind == "image" else texts).append(storable(value))
    return images, "\n".join(texts).strip()
