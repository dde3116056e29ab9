"""Single examples: the image, what is true, and what every experiment answered.

The choice of an example depends on the seed and its id alone. Boxes are drawn in the frame of the
original image; everything that a model or the dataset says is escaped by ``svg`` or the template.
"""

import base64
import io
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from legor1.answers import Detection, extract, parse_objects, parse_state
from legor1.data.tree import FORMATS, Rejected, locate
from legor1.report import svg
from legor1.report.cited import cite, percent
from legor1.report.metrics import TASKS, metric
from legor1.report.study import Experiment, Record, Study
from legor1.report.svg import tag
from legor1.seeding import generator

LONG_SIDE = 400  # pixels of an embedded image
QUALITY = 85
PANEL = 330  # pixels a panel is wide, about: sets the size of the tags
SHOWN = {"object": ("iou", "f1_object"), "grounding": ("f1_theme", "rougeL"), "state": ()}
MOST_BOXES = 40  # a model may repeat itself without end


@dataclass(frozen=True)
class Answer:
    """What one experiment answered.

    Attributes:
        experiment: which.
        scores: (metric's label, percent as text).
        verdict: of a state answer: right, wrong or unreadable; else empty.
        picture: the image with true and predicted boxes; None where the task has no boxes.
        parts: (tag in the picture, label) of the predicted boxes; None if unreadable.
        completion: the model's text as it is.
        finished: whether the model ended it by itself.
    """

    experiment: Experiment
    scores: list[tuple[str, str]]
    verdict: str
    picture: Markup | None
    parts: list[tuple[str, str]] | None
    completion: str
    finished: bool


@dataclass(frozen=True)
class Example:
    """An instance with all answers to it; ``picture`` is the bare image of a task without boxes."""

    instance_id: str
    task: str
    prompt: str
    reference: str
    picture: Markup | None
    parts: list[tuple[str, str]]
    answers: list[Answer]


@dataclass(frozen=True)
class Group:
    """Examples that were chosen for the same reason."""

    title: str
    why: str
    examples: list[Example]


def groups(study: Study) -> list[Group]:
    """Return the gallery: ``report.gallery`` object examples, and a few of the other tasks.

    Of the object examples, about a sixth each are the best and the worst by mean IoU over the
    experiments; the others are drawn by the seed.
    """
    total = int(study.config["report"]["gallery"])
    few, extreme = math.ceil(total / 4), min(math.ceil(total / 6), total // 2)
    objects = _shuffled(study, "object")
    ranked = sorted(objects, key=lambda ident: -_mean_iou(study, ident))
    best, worst = ranked[:extreme], ranked[len(ranked) - extreme :][::-1]
    worst = [ident for ident in worst if ident not in best]
    rest = [ident for ident in objects if ident not in {*best, *worst}]
    rest = rest[: max(total - len(best) - len(worst), 0)]
    chosen = [
        ("Drawn by lot", "Object examples drawn by the seed; the best and the worst follow.", rest),
        ("The best", "Highest mean IoU over the experiments.", best),
        ("The worst", "Lowest mean IoU over the experiments.", worst),
    ]
    for task in ("grounding", "state"):
        why = f"{task.capitalize()} examples drawn by the seed."
        chosen.append((TASKS[task], why, _shuffled(study, task)[:few]))
    number = iter(range(10**6))
    return [
        Group(title, why, [_example(study, ident, f"example-{next(number)}") for ident in idents])
        for title, why, idents in chosen
        if idents
    ]


def _shuffled(study: Study, task: str) -> list[str]:
    """Return the ids of a task's examples that anything was predicted for, in the seed's order."""
    seed = study.config["seed"]
    rows: dict[str, Record] = {}
    for predictions in study.predictions.values():
        rows |= {ident: row for ident, row in predictions.items() if row["task"] == task}
    return sorted(rows, key=lambda ident: (generator(seed, "gallery", ident).random(), ident))


def _mean_iou(study: Study, ident: str) -> float:
    found = [rows[ident]["iou"] for rows in study.examples.values() if "iou" in rows.get(ident, {})]
    return sum(found) / len(found) if found else 0.0


def _example(study: Study, ident: str, anchor: str) -> Example:
    rows = [(e, study.predictions[e.name].get(ident)) for e in study.experiments]
    answered = [(experiment, row) for experiment, row in rows if row is not None]
    first = answered[0][1]
    scene = Scene(study.folder / "data" / "tree", first, anchor)
    task, true = first["task"], None
    if task == "object":
        true = parse_objects(first["reference"]) or []
    return Example(
        instance_id=ident,
        task=task,
        prompt=study.prompts.get(ident, ""),
        reference=first["reference"],
        picture=scene.bare() if true is None else None,
        parts=_parts(true or [], _digit),
        answers=[_answer(study, experiment, row, scene, true) for experiment, row in answered],
    )


def _answer(
    study: Study, experiment: Experiment, row: Record, scene: "Scene", true: list[Detection] | None
) -> Answer:
    picture = parts = None
    if true is not None:
        predicted = parse_objects(row["prediction"])
        picture = scene.compare(true, predicted or [], experiment)
        parts = None if predicted is None else _parts(predicted, _letter)
    file = f"scores/{experiment.name}/{study.protocols[0]}/per_example.parquet"
    ident, scored = row["instance_id"], study.examples[experiment.name]
    numbers = scored.get(ident, {})
    return Answer(
        experiment=experiment,
        scores=[
            (
                metric(name).label.removeprefix("Mean "),
                cite(file, scored, ident, name, write=percent),
            )
            for name in SHOWN.get(row["task"], ())
            if math.isfinite(numbers.get(name, math.nan))
        ],
        verdict=_verdict(row) if row["task"] == "state" else "",
        picture=picture,
        parts=parts,
        completion=row["completion"],
        finished=bool(row.get("finished", True)),
    )


def _verdict(row: Record) -> str:
    said = parse_state(row["prediction"])
    if said is None:
        return "unreadable"
    return "right" if said == parse_state(extract(row["reference"])) else "wrong"


def _parts(detections: list[Detection], tag_of: Callable[[int], str]) -> list[tuple[str, str]]:
    return [(tag_of(i), item.label) for i, item in enumerate(detections[:MOST_BOXES])]


def _digit(index: int) -> str:
    return str(index + 1)


def _letter(index: int) -> str:
    """Return a, b, … z, aa, ab, … for 0, 1, …"""
    return (chr(96 + index // 26) if index >= 26 else "") + chr(97 + index % 26)


class Scene:
    """An example's image, embedded once however often it is drawn on."""

    def __init__(self, tree: Path, row: Record, anchor: str) -> None:
        self.anchor = anchor
        self.size = max(1, int(row["width"])), max(1, int(row["height"]))
        self.href = thumbnail(tree, row["image"])
        self.drawn = 0
        width, height = self.size
        self.unit = max(width, height * 1.1) / PANEL  # a pixel of the page in pixels of the image

    def bare(self) -> Markup:
        """Return the image without boxes."""
        return self._picture("The image", "What the model was asked about.")

    def compare(
        self, true: list[Detection], predicted: list[Detection], experiment: Experiment
    ) -> Markup:
        """Return the image with its true boxes (numbered) and the predicted ones (lettered)."""
        predicted_kind = f"predicted {svg.colour(experiment.index)}"
        shown = [(item, "true", _digit(i)) for i, item in enumerate(true[:MOST_BOXES])]
        shown += [
            (item, predicted_kind, _letter(i)) for i, item in enumerate(predicted[:MOST_BOXES])
        ]
        # In this order a true line shows in the gaps of a dashed one that hits it exactly.
        drawn = [self._box(item, "casing") for item, _, _ in shown]
        drawn += [self._box(item, f"box {kind}") for item, kind, _ in shown]
        drawn += [self._tag(item, text, kind) for item, kind, text in shown]
        title = f"Answer of {experiment.name}"
        said = f"True boxes: {_list(true)}. Predicted boxes: {_list(predicted)}."
        return self._picture(title, said, *drawn)

    def _picture(self, title: str, description: str, *children: Markup) -> Markup:
        self.drawn += 1
        ident = f"{self.anchor}-{self.drawn}"
        parts = [self._image(), *children]
        return svg.picture(ident, self.size, title, description, *parts, kind="scene")

    def _image(self) -> Markup:
        """Return the image itself the first time, a reference to it from then on."""
        width, height = self.size
        if self.href is None:
            blank = tag("rect", width=width, height=height, class_="blank")
            words = {"x": width / 2, "y": height / 2, "font_size": 14 * self.unit}
            return blank + tag("text", "image not available", class_="middle", **words)
        ident = f"{self.anchor}-image"
        if self.drawn > 1:
            return tag("use", href=f"#{ident}")
        fit = {"width": width, "height": height, "preserveAspectRatio": "none"}
        return tag("image", id=ident, href=self.href, **fit)

    def _box(self, item: Detection, kind: str) -> Markup:
        x1, y1, x2, y2 = self._visible(item)
        return tag("rect", x=x1, y=y1, width=x2 - x1, height=y2 - y1, class_=kind)

    def _tag(self, item: Detection, text: str, kind: str) -> Markup:
        """Return a box's tag: at its upper left corner if true, lower right if predicted."""
        radius = 9 * self.unit
        x1, y1, x2, y2 = self._visible(item)
        x, y = (x1, y1) if kind == "true" else (x2, y2)
        x, y = (
            min(max(value, radius), max(side - radius, radius))
            for value, side in zip((x, y), self.size, strict=True)
        )
        disc = tag("circle", cx=x, cy=y, r=radius, class_=f"tag {kind}")
        size = {"font_size": 11.5 * self.unit}
        return disc + tag("text", text, x=x, y=y + 4 * self.unit, class_="tag-text", **size)

    def _visible(self, item: Detection) -> tuple[float, float, float, float]:
        """Return the box with its corners in order, cut off well outside of the image."""
        width, height = self.size
        x1, x2 = sorted(min(max(x, -width), 2.0 * width) for x in item.box[0::2])
        y1, y2 = sorted(min(max(y, -height), 2.0 * height) for y in item.box[1::2])
        return x1, y1, x2, y2


def _list(items: list[Detection]) -> str:
    return ", ".join(item.label or "no label" for item in items[:MOST_BOXES]) or "none"


def thumbnail(tree: Path, name: str) -> str | None:
    """Return the image as a data URI (JPEG, ``LONG_SIDE`` pixels at most), None if it has none."""
    from PIL import Image

    try:
        path = locate(tree.resolve(), name)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                small = image.convert("RGB")
    except (Rejected, OSError, ValueError, SyntaxError, Image.DecompressionBombWarning,
            Image.DecompressionBombError):  # fmt: skip
        return None
    small.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
