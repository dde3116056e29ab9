"""Which step of which manual an image shows: the metadata files, else the image's name."""

import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from legor1.core.files import Rejected, locate
from legor1.data.lego_arta.dialogues import storable

NOT_UNDERSTOOD = "metadata not understood"
GLUED_FAKE = re.compile(r"(?<!_)(?=fake\d+\.[^./]+$)")  # where a name lacks the _ before fake
_FAKE = re.compile(r"_fake\d+(?=\.[^./]+$)")
_STEP_NUMBER = re.compile(r"[_-](\d{1,9})_step")
_EOP_NUMBER = re.compile(r"_(\d{1,9})(?!\d).*?eop")


class Step(NamedTuple):
    """What is known of an image's step; ``""`` and None where nothing is.

    ``loaded_instruction`` is the previous one where the published loader finds it.
    """

    step_class: str = ""
    number: int | None = None
    instruction: str = ""
    previous_instruction: str = ""
    loaded_instruction: str = ""


@dataclass
class Manuals:
    """The metadata of all manuals."""

    # ``<manual>/images/<name>`` → (class, number, manual_id, instruction_id)
    images: dict[str, tuple[str, int | None, str, int]] = field(default_factory=dict)
    # (manual_id, instruction_id) → the instruction's text
    texts: dict[tuple[str, int], str] = field(default_factory=dict)
    # the same of instructions with a view (``VLM``), which the published loader keeps
    loaded: dict[tuple[str, int], str] = field(default_factory=dict)
    # (file, position of the instruction or 0, reason) of what was not understood
    rejected: list[tuple[str, int, str]] = field(default_factory=list)

    def step(self, path: str) -> Step:
        """Return the step of the image at ``path``, whose file name is the fallback."""
        known, by_name = self.images.get(_key(path)), step_of_name(path.rpartition("/")[2])
        if known is None:
            return by_name
        step_class, number, manual, instruction = known
        if not step_class:
            step_class, number = by_name.step_class, by_name.number
        own, before = (manual, instruction), (manual, instruction - 1)
        texts = (self.texts, self.loaded) if step_class == "step" else ({}, {})
        previous = [known.get(before, "") for known in texts]
        return Step(step_class, number, self.texts.get(own, ""), *previous)


def true_name(path: str) -> str:
    """Return the path of the true image that ``path`` was falsified from, else ``path``."""
    return _FAKE.sub("", path) if "_fake" in path else path


@lru_cache(maxsize=4096)  # manuals number their pages alike
def step_of_name(name: str) -> Step:
    """Return class and number as the file name tells them."""
    lowered = name.lower()
    if "_step_" in lowered:
        step_class, number = "step", _STEP_NUMBER.search(lowered)
    elif "eop" in lowered:
        step_class, number = "eop", _EOP_NUMBER.search(lowered)
    else:
        return Step()
    return Step(step_class, int(number[1]) if number else None)


def read_manuals(root: Path) -> Manuals:
    """Read ``json_data/**/*.json`` of a resolved tree; of equal keys the first one counts."""
    manuals = Manuals()
    for path in sorted((root / "json_data").rglob("*.json")):
        file = path.relative_to(root).as_posix()
        try:
            text = locate(root, file).read_text(encoding="utf-8-sig", errors="replace")
            content = json.loads(text)
            manual, instructions = str(content["manual_id"]), list(content["instructions"])
        except (Rejected, ValueError, KeyError, TypeError, RecursionError) as error:
            reason = str(error) if isinstance(error, Rejected) else NOT_UNDERSTOOD
            manuals.rejected.append((file, 0, reason))
            continue
        for position, instruction in enumerate(instructions, 1):
            try:
                _add(manuals, manual, instruction)
            except (ValueError, KeyError, TypeError, OverflowError):
                manuals.rejected.append((file, position, NOT_UNDERSTOOD))
    return manuals


def _add(manuals: Manuals, manual: str, instruction: dict) -> None:
    number = int(instruction["instruction_id"])
    text = instruction.get("text") or ""
    text = storable((" ".join(map(str, text)) if isinstance(text, list) else str(text)).strip())
    manuals.texts.setdefault((manual, number), text)
    if not (view := instruction.get("VLM")):
        return
    manuals.loaded.setdefault((manual, number), text)
    if key := _key(str(view["img_path"])):
        step_class = storable(str(view.get("step_class") or "").strip().lower())
        entry = (step_class, _number(view.get("step_num")), manual, number)
        manuals.images.setdefault(key, entry)


def _key(path: str) -> str:
    """Return the path from the manual's folder on, "" if it has none: <manual>/images/<name>."""
    above, _, name = path.rpartition("/images/")
    manual = above.rpartition("/")[2]
    return f"{manual}/images/{name}" if manual else ""


def _number(value: object) -> int | None:
    digits = re.search(r"\d{1,9}", str(value)) if isinstance(value, int | float | str) else None
    return int(digits[0]) if digits else None
