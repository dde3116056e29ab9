"""The dialogue files of LEGO-ARTA: streams of JSON arrays, each an array of turns."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from legor1.data.tree import Rejected

# An object row of the old file is used only where there is no new file.
FILES = {
    "grounding_qwen.jsonl": "grounding",
    "object_qwen_new.jsonl": "object",
    "object_qwen.jsonl": "object",
    "state_qwen.jsonl": "state",
}
_BLANK = re.compile(r"\s*")


@dataclass(frozen=True)
class Dialogue:
    """The first question and answer of one dialogue, and where it stands.

    Attributes:
        file: the file's posix path relative to the tree.
        position: the dialogue's number in its file, counted from 1.
        image: the image's URI as written; ``prompt`` and ``answer`` likewise, stripped.
    """

    file: str
    position: int
    image: str
    prompt: str
    answer: str


def find_files(root: Path) -> list[tuple[str, Path]]:
    """Return (task, path) of every dialogue file below ``qwen_data``, however deep."""
    found = [path for path in (root / "qwen_data").rglob("*.jsonl") if path.name in FILES]
    found.sort(key=lambda path: (list(FILES).index(path.name), len(path.parts), path.as_posix()))
    return [(FILES[path.name], path) for path in found]


def read_values(path: Path) -> Iterator[Any]:
    """Yield the JSON values of a stream; what is not JSON is yielded as a ``Rejected``.

    After such a stretch, reading goes on at the next line that begins with a bracket.
    """
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    decoder = json.JSONDecoder()
    position = _skip_blank(text, 0)
    while position < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
            yield value
        except (ValueError, RecursionError):
            yield Rejected("not JSON")
            position = text.find("\n[", position + 1) + 1 or len(text)
        position = _skip_blank(text, position)


def dialogue(value: Any, file: str, position: int) -> Dialogue:
    """Return what the first user turn and the first assistant turn say.

    Raises:
        Rejected: not an array of turns, or without an image or a prompt.
    """
    if not isinstance(value, list) or not all(isinstance(turn, dict) for turn in value):
        raise Rejected("not a dialogue")
    turns: dict[str, dict] = {}
    for turn in value:
        turns.setdefault(str(turn.get("role")), turn)
    user, assistant = turns.get("user", {}), turns.get("assistant", {})
    images = _parts(user, "image")
    if not images:
        raise Rejected("no image in the dialogue")
    prompt, answer = ("\n".join(_parts(turn, "text")).strip() for turn in (user, assistant))
    if not prompt:
        raise Rejected("no prompt in the dialogue")
    return Dialogue(file, position, images[0], prompt, answer)


def storable(text: str) -> str:
    """Return ``text`` with what UTF-8 cannot hold (lone surrogates) replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _parts(turn: dict, kind: str) -> list[str]:
    content = turn.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    parts = [part for part in content or [] if isinstance(part, dict)] if content else []
    values = [part.get(kind) for part in parts if part.get("type") == kind]
    return [storable(value) for value in values if isinstance(value, str) and value]


def _skip_blank(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position
