"""The chosen examples, ready for the template, which escapes what a model or the dataset says."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from legor1.core.format import percent
from legor1.core.layout import IN_RUN
from legor1.report.citation import cite
from legor1.report.gallery import thumbnails
from legor1.report.gallery.annotated_image import MOST_BOXES, Scene, digit, letter
from legor1.report.gallery.completion import Part, parts
from legor1.report.gallery.prompt_turns import Asked, Conversations
from legor1.report.gallery.selection import Choice, mark, reasons, score
from legor1.report.study import Experiment, Record, Study
from legor1.tasks.discovery import TASKS, metric
from legor1.tasks.parsing import Detection, parse_objects


@dataclass(frozen=True)
class Answer:
    """What one experiment answered.

    Attributes:
        scores: (metric's label, percent as text).
        mark: right, wrong or unreadable; empty if it was not scored.
        judged: whether the mark is the task's own verdict, which stands beside the answer.
        picture: the image with true and predicted boxes; None where the task has no boxes.
        parts: (tag in the picture, label) of the predicted boxes; None if unreadable.
        completion: the model's text as it is, its thinking apart.
        finished: whether the model ended it by itself.
    """

    experiment: Experiment
    scores: list[tuple[str, str]]
    mark: str
    judged: bool
    picture: Markup | None
    parts: list[tuple[str, str]] | None
    completion: list[Part]
    finished: bool


@dataclass(frozen=True)
class Example:
    """An instance with all answers to it.

    Attributes:
        anchor: its id in a page, the same in every report.
        asked: the prompts; none if they were not stored.
        reference: the true answer, boxes in pixels of the original image.
        picture: the bare image of a task without boxes.
        large: file name of the image in its own size, or empty.
        parts: (tag in the picture, label) of the true boxes; None where the task has no boxes.
    """

    anchor: str
    instance_id: str
    task: str
    reasons: list[str]
    asked: list[Asked]
    reference: str
    picture: Markup | None
    large: str
    parts: list[tuple[str, str]] | None
    answers: list[Answer]


def examples(
    study: Study, chosen: dict[str, Choice], folder: Path | None
) -> dict[str, list[Example]]:
    """Return task → its examples, of those ``chosen`` for it, in the order of the reasons.

    The images in their own size are written into ``folder``, if there is one.
    """
    why = {task: reasons(choice) for task, choice in chosen.items()}
    conversations = Conversations(study, {ident for one in why.values() for ident in one})
    return {
        task: [_example(study, ident, given, conversations, folder) for ident, given in one.items()]
        for task, one in why.items()
    }


def _example(
    study: Study, ident: str, why: list[str], conversations: Conversations, folder: Path | None
) -> Example:
    rows = [(e, study.predictions[e.name].get(ident)) for e in study.experiments]
    answered = [(experiment, row) for experiment, row in rows if row is not None]
    first, anchor = answered[0][1], _anchor(ident)
    image = thumbnails.read(study.folder / IN_RUN.data.tree, first["image"])
    scene = Scene(thumbnails.embedded(image), (first["width"], first["height"]), anchor)
    task, true = first["task"], None
    if TASKS[task].answer == "boxes":
        true = parse_objects(first["reference"]) or []
    return Example(
        anchor=anchor,
        instance_id=ident,
        task=task,
        reasons=why,
        asked=conversations.asked(ident, [e for e, _ in answered], f"{anchor}-asked"),
        reference=first["reference"],
        picture=scene.bare() if true is None else None,
        large=thumbnails.write_large(image, folder) if folder else "",
        parts=None if true is None else _parts(true, digit),
        answers=[_answer(study, experiment, row, scene, true) for experiment, row in answered],
    )


def _anchor(ident: str) -> str:
    """Return a name for a page that no id can break; half a surrogate has no UTF-8."""
    return "e-" + hashlib.sha256(ident.encode("utf-8", "backslashreplace")).hexdigest()[:12]


def _answer(
    study: Study, experiment: Experiment, row: Record, scene: Scene, true: list[Detection] | None
) -> Answer:
    picture = read = None
    if true is not None:
        predicted = parse_objects(row["prediction"])
        picture = scene.compare(true, predicted or [], experiment)
        read = None if predicted is None else _parts(predicted, letter)
    return Answer(
        experiment=experiment,
        scores=_numbers(study, experiment, row),
        mark=mark(row, score(study, experiment.name, row)),
        judged=TASKS[row["task"]].gallery.verdict is not None,
        picture=picture,
        parts=read,
        completion=[part for part in parts(row["completion"]) if part[1].strip()],
        finished=bool(row.get("finished", True)),
    )


def _numbers(study: Study, experiment: Experiment, row: Record) -> list[tuple[str, str]]:
    file = IN_RUN.per_example(experiment.name, study.protocols[0])
    ident, scored = row["instance_id"], study.examples[experiment.name]
    numbers = scored.get(ident, {})
    return [
        (
            metric(row["task"], name).label.removeprefix("Mean "),
            cite(file, scored, ident, name, write=percent),
        )
        for name in TASKS[row["task"]].gallery.scores
        if math.isfinite(numbers.get(name, math.nan))
    ]


def _parts(detections: list[Detection], tag_of: Callable[[int], str]) -> list[tuple[str, str]]:
    return [(tag_of(i), item.label) for i, item in enumerate(detections[:MOST_BOXES])]
