"""The chosen examples, ready for the template, which escapes what a model or the dataset says."""

import hashlib
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markupsafe import Markup

from legor1.core.files import stream_jsonl
from legor1.core.format import percent
from legor1.core.layout import IN_RUN
from legor1.models.registry import family_of_base
from legor1.monitor import run_files
from legor1.report.citation import Record, cite
from legor1.report.gallery import pictures
from legor1.report.gallery.pictures import MOST_BOXES, Scene, digit, letter
from legor1.report.study import Experiment, Study
from legor1.tasks.discovery import TASKS, metric
from legor1.tasks.parsing import Detection, Part, parse_objects, split_thinking
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


@dataclass(frozen=True)
class Answer:
    """What one experiment answered."""

    experiment: Experiment
    scores: list[tuple[str, str]]  # metric's label, percent
    mark: str  # right, wrong or unreadable; empty if it was not scored
    judged: bool  # whether the mark is the task's own verdict, which stands beside the answer
    picture: Markup | None  # None where the task has no boxes
    parts: list[tuple[str, str]] | None  # tag in the picture, label; None if unreadable
    completion: list[Part]
    finished: bool


@dataclass(frozen=True)
class Example:
    """An instance with all answers to it."""

    anchor: str  # its id in a page, the same in every report
    instance_id: str
    task: str
    reasons: list[str]
    asked: list[Asked]
    question: str  # without the directive; empty where that was not stored
    reference: str  # the true answer, boxes in pixels of the original image
    picture: Markup | None  # the bare image of a task without boxes
    large: str  # file name of the image in its own size, or empty
    parts: list[tuple[str, str]] | None  # as those of an answer; None where there are no boxes
    answers: list[Answer]


def examples(
    study: Study, why: dict[str, dict[str, list[str]]], folder: Path | None
) -> dict[str, list[Example]]:
    """Return task → its examples, and write their images in full into ``folder``.

    ``why`` has of each task the ids of the chosen instances, with the reasons for each.
    """
    prompts = Conversations(study, {ident for of_task in why.values() for ident in of_task})
    return {
        task: [_example(study, ident, given, prompts, folder) for ident, given in of_task.items()]
        for task, of_task in why.items()
    }


def _example(
    study: Study, ident: str, why: list[str], prompts: "Conversations", folder: Path | None
) -> Example:
    rows = {e: study.predictions[e.name].get(ident) for e in study.experiments}
    answered = {e: row for e, row in rows.items() if row is not None}
    first = next(iter(answered.values()))
    # No id can break this name; half a surrogate has no UTF-8.
    digest = hashlib.sha256(ident.encode("utf-8", "backslashreplace")).hexdigest()
    anchor = f"e-{digest[:12]}"
    image = pictures.read(study.folder / IN_RUN.data.tree, first["image"])
    scene = Scene(pictures.embedded(image), (first["width"], first["height"]), anchor)
    task, true = first["task"], None
    if TASKS[task].answer == "boxes":
        true = parse_objects(first["reference"]) or []
    asked = prompts.asked(ident, list(answered), f"{anchor}-asked")
    question = asked[0].prompt if asked else ""
    return Example(
        anchor=anchor,
        instance_id=ident,
        task=task,
        reasons=why,
        asked=asked,
        question=question.removesuffix(TASKS[task].prompt.directive).strip(),
        reference=first["reference"],
        picture=scene.bare() if true is None else None,
        large=pictures.write_large(image, folder) if folder else "",
        parts=None if true is None else _tagged(true, digit),
        answers=[_answer(study, e, row, scene, true) for e, row in answered.items()],
    )


def _answer(
    study: Study, experiment: Experiment, row: Record, scene: Scene, true: list[Detection] | None
) -> Answer:
    picture = tagged = None
    if true is not None:
        predicted = parse_objects(row["prediction"])
        picture = scene.compare(true, predicted or [], experiment)
        tagged = None if predicted is None else _tagged(predicted, letter)
    return Answer(
        experiment=experiment,
        scores=_scores(study, experiment, row),
        mark=mark(row, measured(study, experiment.name, row, TASKS[row["task"]].scoring.main)),
        judged=TASKS[row["task"]].gallery.verdict is not None,
        picture=picture,
        parts=tagged,
        completion=[part for part in split_thinking(row["completion"]) if part[1].strip()],
        finished=bool(row.get("finished", True)),
    )


def measured(study: Study, experiment: str, row: Record, name: str) -> float:
    """Return a metric of a prediction, a fraction; NaN if it was not scored."""
    return study.examples[experiment].get(row["instance_id"], {}).get(name, math.nan)


def mark(row: Record, main: float) -> str:
    """Return ``right``, ``wrong`` or ``unreadable``; empty if it was not scored.

    Where the task has no verdict of its own, an answer is right if its ``main`` metric is 1.
    """
    gallery = TASKS[row["task"]].gallery
    if gallery.verdict:
        return gallery.verdict(row["prediction"], row["reference"])
    if not gallery.readable(row["prediction"]):
        return "unreadable"
    return "" if math.isnan(main) else "right" if main >= 1 else "wrong"


def _scores(study: Study, experiment: Experiment, row: Record) -> list[tuple[str, str]]:
    file = IN_RUN.per_example(experiment.name, study.protocols[0])
    scored, task = study.examples[experiment.name], row["task"]
    return [
        (
            metric(task, name).label.removeprefix("Mean "),
            cite(file, scored, row["instance_id"], name, write=percent),
        )
        for name in TASKS[task].gallery.scores
        if math.isfinite(measured(study, experiment.name, row, name))
    ]


def _tagged(detections: list[Detection], tag_of: Callable[[int], str]) -> list[tuple[str, str]]:
    return [(tag_of(i), item.label) for i, item in enumerate(detections[:MOST_BOXES])]


class Conversations:
    """The prompts of the ``wanted`` test instances, by protocol and variant."""

    def __init__(self, study: Study, wanted: Collection[str]) -> None:
        self._study, self._wanted = study, wanted
        self._by_id, self._small = cache(self._read), cache(self._embed)

    def asked(self, ident: str, experiments: list[Experiment], anchor: str) -> list[Asked]:
        """Return what each of the experiments was asked; those with the same prompt share one."""
        config = self._study.config
        by_turns: dict[str, tuple[list[Experiment], Record, list[Record]]] = {}
        for experiment in experiments:
            if experiment.name not in config["experiments"]:
                continue
            file = run_files.conversations(config, experiment.name, "test")
            if row := self._by_id(file).get(ident):
                turns = self._turns(experiment, row)
                by_turns.setdefault(repr(turns), ([], row, turns))[0].append(experiment)
        return [
            Asked(who, self._demonstrations(row, turns, f"{anchor}-{i}"), _text(turns[-1]))
            for i, (who, row, turns) in enumerate(by_turns.values())
        ]

    def _read(self, file: str) -> dict[str, Record]:
        path = self._study.folder / file
        rows = (row for _, row in stream_jsonl(path, KEYS)) if path.exists() else ()
        return {row["instance_id"]: row for row in rows if row["instance_id"] in self._wanted}

    def _turns(self, experiment: Experiment, row: Record) -> list[Record]:
        config, own = self._study.config, self._study.settings(experiment)
        limits = config["pixel_budget"] | own.get("pixel_budget", {})
        inference = config.get("inference", {}) | own.get("inference", {})
        limits |= inference.get("pixel_budget", {})
        budget = family_of_base(config["base"]).budget(**limits)
        return chat_messages(row, budget, demonstrations=own.get("demonstrations", True))

    def _demonstrations(self, row: Record, turns: list[Record], anchor: str) -> list[Demonstration]:
        made = []
        solved = zip(row["demonstrations"], turns[:-1:2], turns[1::2], strict=False)  # or no turns
        for i, (shown, prompt, answer) in enumerate(solved):
            size = shown["width"], shown["height"]
            scene = Scene(self._small(shown["image"]), size, f"{anchor}-{i}")
            picture = scene.solved(parse_objects(shown["response"]) or [])
            made.append(Demonstration(picture, _text(prompt), _text(answer)))
        return made

    def _embed(self, name: str) -> str | None:
        image = pictures.read(self._study.folder / IN_RUN.data.tree, name)
        return pictures.embedded(image, pictures.SMALL_SIDE)


def _text(turn: Record) -> str:
    return "\n".join(part["text"] for part in turn["content"] if part["type"] == "text")
