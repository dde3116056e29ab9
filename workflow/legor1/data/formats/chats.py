"""Conversations as ms-swift, LLaMA-Factory, VLM-R1 and TRL write them: JSON lines or an array.

The last question and answer about one image are the example. Earlier turns, which others use as
solved examples, are left out: here demonstrations are chosen by rules that do not leak.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from legor1.core.boxes import as_json
from legor1.core.files import Rejected
from legor1.data.formats.example import Example, Images, Options, Unread
from legor1.data.lego_arta.dialogues import read_values, storable

PEOPLE = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}
QUESTIONS, ANSWERS = ("prompt", "query"), ("completion", "response")
LABEL, BOX = "<ref-object>", "<bbox>"  # ms-swift's marks of what stands in ``objects``
_IMAGE = re.compile(r"\s*<image>\s*")
_MARKS = re.compile(rf"(?:(?:{LABEL})?{BOX}[\s,;.]*)+")  # marks alone, no sentence around them


def chats(root: Path, path: Path, images: Images, options: Options) -> Iterator[Example | Unread]:
    """Yield a file's examples; ``boxes`` are the units in text, ``group`` may be a key of a row."""
    file = path.relative_to(root).as_posix()
    values = read_values(path, "\n{")
    rows = (row for value in values for row in (value if isinstance(value, list) else [value]))
    for position, row in enumerate(rows, 1):
        try:
            if isinstance(row, Rejected):
                raise row
            if not isinstance(row, dict):
                raise Rejected("not an object")
            image = images.find(_image(row), file)
            task, own = (str(row.get(key) or "") for key in ("task", options.get("group")))
            yield Example(file, position, image, *_asked(row, options["boxes"]), task, own)
        except Rejected as rejected:
            yield Unread(file, position, rejected)


def _asked(row: dict[str, Any], units: str) -> tuple[str, str, str]:
    """Return the last question, its answer, and the units of the boxes in that."""
    turns = _turns(row)
    if [who for who, _ in turns[-2:]] != ["user", "assistant"]:
        raise Rejected("does not end in a question and its answer")
    texts, boxed = [_IMAGE.sub(" ", text).strip() for _, text in turns], BOX in turns[-1][1]
    *_, prompt, answer = _filled(texts, row.get("objects")) if boxed else texts
    return prompt.strip(), answer.strip(), "pixels" if boxed else units


def _turns(row: dict[str, Any]) -> list[tuple[str, str]]:
    turns = row.get("messages") or row.get("conversations")
    if turns is None:
        turns = []
        for who, keys in (("user", QUESTIONS), ("assistant", ANSWERS)):
            said = next((row[key] for key in keys if key in row), None)
            turns += said if isinstance(said, list) else [{"role": who, "content": said}]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise Rejected("no turns under messages, conversations or prompt")
    return [
        (PEOPLE.get(str(turn.get("role", turn.get("from"))), ""), _text(turn)) for turn in turns
    ]


def _text(turn: dict[str, Any]) -> str:
    content = turn.get("content", turn.get("value"))
    if isinstance(content, list):
        content = " ".join(str(p.get("text") or "") for p in content if isinstance(p, dict))
    if not isinstance(content, str) or not content.strip():
        raise Rejected("turn without text")
    return storable(content)


def _filled(texts: Sequence[str], objects: Any) -> list[str]:
    """Return the texts of all turns with ms-swift's labels and boxes in the places of their marks.

    Marks without a sentence become a list of objects.
    """
    objects = objects if isinstance(objects, dict) else {}
    listings = (objects.get(key) for key in ("ref", "bbox"))
    labels, boxes = (listing if isinstance(listing, list) else [] for listing in listings)
    marks = "".join(texts)
    sound = all(isinstance(box, list) for box in boxes)
    if not sound or len(boxes) != marks.count(BOX) or objects.get("bbox_type", "real") != "real":
        raise Rejected("objects without a pixel box for each <bbox>")
    if len(labels) < marks.count(LABEL):
        raise Rejected("objects without a label for each <ref-object>")
    if _MARKS.fullmatch(texts[-1]):
        own = boxes[len(boxes) - texts[-1].count(BOX) :]
        named = labels * len(own) if len(labels) == 1 else labels[-len(own) :]
        if len(named) < len(own):
            raise Rejected("objects without a label for each <bbox>")
        texts = [*texts[:-1], as_json(own, map(str, named))]
    elif not texts[-1].lstrip().startswith("["):
        raise Rejected("boxes in a sentence, which no task asks for")
    left = {LABEL: iter(map(str, labels)), BOX: map(json.dumps, boxes)}
    return [re.sub(f"{LABEL}|{BOX}", lambda mark: next(left[mark[0]]), text) for text in texts]


def _image(row: dict[str, Any]) -> str:
    """Return the name of the last image."""
    images = row.get("images") or row.get("image")
    image = images[-1] if isinstance(images, list) and images else images
    image = image.get("path") if isinstance(image, dict) else image
    if not isinstance(image, str) or not image:
        raise Rejected("no image")
    return image
