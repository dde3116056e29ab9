"""What an experiment was asked: the turns before its answer, as the model read them."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from legor1.core.files import stream_jsonl
from legor1.core.layout import IN_RUN
from legor1.models.registry import family_of_base
from legor1.monitor import run_files
from legor1.report.gallery import thumbnails
from legor1.report.gallery.annotated_image import Scene
from legor1.report.study import Experiment, Record, Study
from legor1.tasks.parsing import parse_objects
from legor1.tasks.prompts import chat_messages

KEYS = ("instance_id", "prompt", "image", "width", "height", "box_frame", "demonstrations")


@dataclass(frozen=True)
class Demonstration:
    """A solved example in a prompt; in the picture are the boxes of its answer, if it has any."""

    picture: Markup
    prompt: str
    answer: str


@dataclass(frozen=True)
class Asked:
    """A prompt, and the experiments that were asked just so."""

    experiments: list[Experiment]
    demonstrations: list[Demonstration]
    prompt: str


class Conversations:
    """The prompts of the ``wanted`` test instances, by protocol and variant."""

    def __init__(self, study: Study, wanted: Collection[str]) -> None:
        self._study, self._wanted = study, wanted
        self._rows: dict[Path, dict[str, Record]] = {}
        self._small: dict[str, str | None] = {}

    def asked(self, ident: str, experiments: list[Experiment], anchor: str) -> list[Asked]:
        """Return what each of the experiments was asked, those that were asked the same as one."""
        by_turns: dict[str, tuple[list[Experiment], Record, list[Any]]] = {}
        for experiment in experiments:
            row = self._row(experiment, ident)
            if row:
                turns = self._turns(experiment, row)
                by_turns.setdefault(repr(turns), ([], row, turns))[0].append(experiment)
        return [
            Asked(who, self._demonstrations(row, turns, f"{anchor}-{i}"), _text(turns[-1]))
            for i, (who, row, turns) in enumerate(by_turns.values())
        ]

    def _row(self, experiment: Experiment, ident: str) -> Record | None:
        own = self._study.config["experiments"].get(experiment.name)
        if own is None:
            return None
        path = self._study.folder / run_files.conversations(
            self._study.config, experiment.name, "test"
        )
        if path not in self._rows:
            rows = stream_jsonl(path, KEYS) if path.exists() else ()
            self._rows[path] = {
                row["instance_id"]: row for _, row in rows if row["instance_id"] in self._wanted
            }
        return self._rows[path].get(ident)

    def _turns(self, experiment: Experiment, row: Record) -> list[Any]:
        config = self._study.config
        own = config["experiments"][experiment.name]
        limits = config["pixel_budget"] | own.get("pixel_budget", {})
        budget = family_of_base(config["base"]).budget(**limits)
        return chat_messages(row, budget, demonstrations=own.get("demonstrations", True))

    def _demonstrations(self, row: Record, turns: list[Any], anchor: str) -> list[Demonstration]:
        pairs = zip(turns[:-1:2], turns[1::2], strict=True)
        return [
            Demonstration(
                self._scene(shown, f"{anchor}-{i}").solved(parse_objects(shown["response"]) or []),
                _text(prompt),
                _text(answer),
            )
            for i, (shown, (prompt, answer)) in enumerate(
                zip(row["demonstrations"], pairs, strict=False)  # there may be no pairs
            )
        ]

    def _scene(self, shown: Record, anchor: str) -> Scene:
        name = shown["image"]
        if name not in self._small:
            image = thumbnails.read(self._study.folder / IN_RUN.data.tree, name)
            self._small[name] = thumbnails.embedded(image, thumbnails.SMALL_SIDE)
        return Scene(self._small[name], (shown["width"], shown["height"]), anchor)


def _text(turn: Record) -> str:
    return "\n".join(part["text"] for part in turn["content"] if part["type"] == "text")
