"""Conversations as ms-swift, LLaMA-Factory, VLM-R1 and TRL write them: a line of JSON each.

The last question and answer about one image are the example. Earlier turns, which others use as
solved examples, are left out: here demonstrations are chosen by rules that do not leak.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from legor1.core.files import Rejected
from legor1.data.formats.example import Example, Unread

PEOPLE = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}
_IMAGE = re.compile(r"\s*<image>\s*")


def jsonl(root: Path, path: Path, units: str, group: str | None) -> Iterator[Example | Unread]:
    """Yield a file's examples; ``units`` are those of boxes in text, ``group`` a key of a row."""
    file = path.relative_to(root).as_posix()
    with path.open(encoding="utf-8", errors="replace") as lines:
        for position, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield _example(json.loads(line), root, path, position, units, group)
            except Rejected as rejected:
                yield Unread(file, position, rejected)
            except (ValueError, RecursionError):
                yield Unread(file, position, Rejected("not JSON"))


def _example(
    row: Any, root: Path, path: Path, position: int, units: str, group: str | None
) -> Example:
    if not isinstance(row, dict):
        raise Rejected("not an object")
    turns = _turns(row)
    if [who for who, _ in turns[-2:]] != ["user", "assistant"]:
        raise Rejected("does not end in a question and its answer")
    (_, prompt), (_, answer) = turns[-2:]
    answer, placed = _with_boxes(answer, row.get("objects"))
    return Example(
        path.relative_to(root).as_posix(),
        position,
        _image(row, root, path),
        _IMAGE.sub(" ", prompt).strip(),
        answer.strip(),
        "pixels" if placed else units,
        str(row.get("task") or ""),
        str(row.get(group) or "") if group else "",
    )


def _turns(row: dict) -> list[tuple[str, str]]:
    turns = row.get("messages") or row.get("conversations")
    if turns is None:
        asked, answered = row.get("prompt"), row.get("completion", row.get("response"))
        turns = [
            turn
            for who, said in (("user", asked), ("assistant", answered))
            for turn in (said if isinstance(said, list) else [{"role": who, "content": said}])
        ]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise Rejected("no turns under messages, conversations or prompt")
    return [
        (PEOPLE.get(str(turn.get("role", turn.get("from"))), ""), _text(turn)) for turn in turns
    ]


def _text(turn: dict) -> str:
    said = turn.get("content", turn.get("value"))
    if isinstance(said, list):
        said = " ".join(str(p.get("text") or "") for p in said if isinstance(p, dict))
    if not isinstance(said, str) or not said.strip():
        raise Rejected("turn without text")
    return said


def _with_boxes(text: str, objects: Any) -> tuple[str, bool]:
    """Return an answer with ms-swift's boxes, the last ones, in their places."""
    count = text.count("<bbox>")
    boxes = objects.get("bbox") if isinstance(objects, dict) else None
    if not count:
        return text, False
    if not isinstance(boxes, list) or len(boxes) < count or objects.get("bbox_type") == "norm1":
        raise Rejected("objects without a pixel box for each <bbox>")
    parts = text.split("<bbox>")
    shown = [json.dumps(box) for box in boxes[-count:]]
    return "".join(part + box for part, box in zip(parts, [*shown, ""], strict=True)), True


def _image(row: dict, root: Path, path: Path) -> str:
    """Return the last image's path below ``root``, as written or below the file's folder."""
    images = row.get("images") or row.get("image")
    image = images[-1] if isinstance(images, list) and images else images
    image = image.get("path") if isinstance(image, dict) else image
    if not isinstance(image, str) or not image:
        raise Rejected("no image")
    place = path.parent / PurePosixPath(image)
    return (
        place.relative_to(root).as_posix()
        if place.is_relative_to(root) and place.is_file()
        else image
    )
