"""Where answers are right, and where wrong: the fates of boxes, and yes and no by the truth."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import product

import pandas as pd

from legor1.core.boxes import iou_matrix
from legor1.core.format import percent
from legor1.core.layout import IN_RUN
from legor1.report import svg
from legor1.report.citation import Cited, Record, counted, pointer
from legor1.report.study import Experiment, Study
from legor1.report.svg import Axes, Curve, Figure, Panel
from legor1.tasks.discovery import of_kind
from legor1.tasks.metrics.detection import agreement, match
from legor1.tasks.parsing import extract, parse_objects, parse_state

HIT = 0.5  # the least IoU of a box in its place
# What became of a true box, the best first; the last is no true box's.
FATES = ("right", "misnamed", "misplaced", "missed", "unreadable")
EXTRA = "extra"
MOST_PARTS = 6  # images with so many parts or more are one group
BY_PARTS = {"_labelled": "Box and label", "": "Box alone"}  # by the end of a feature's name
PERCENTS = [0, 25, 50, 75, 100]  # ticks
WORDS = {True: "Yes", False: "No", None: "unreadable"}
TRUTHS = (True, False)
SAID = ["said Yes", "said No", "unreadable"]

F1 = Mapping[int, float]  # by the number of true boxes, up to ``MOST_PARTS``


def figures(study: Study) -> dict[str, Figure]:
    """Return the figures of answers that have anything to show, by the name of their texts."""
    made = {maker.__name__: maker(study) for maker in (failures, by_parts, confusions)}
    return {name: figure for name, figure in made.items() if figure.panels}


def fates(rows: Iterable[Record]) -> Counter[str]:
    """Return how many true boxes of object answers had which of ``FATES``, and the extra boxes.

    Boxes are matched as the metrics match them: by the greatest total IoU of each image.
    """
    numbers = Counter[str]()
    for row in rows:
        true, predicted = parse_objects(row["reference"]) or [], parse_objects(row["prediction"])
        if predicted is None:
            numbers["unreadable"] += len(true)
            continue
        ious = iou_matrix([item.box for item in predicted], [item.box for item in true])
        named = agreement(predicted, true)
        pairs = [(i, j) for i, j in zip(*match(ious), strict=True) if ious[i, j] > 0]
        for i, j in pairs:
            placed = ious[i, j] >= HIT
            numbers["misplaced" if not placed else "right" if named[i, j] else "misnamed"] += 1
        numbers["missed"] += len(true) - len(pairs)
        numbers[EXTRA] += len(predicted) - len(pairs)
    return numbers


def failures(study: Study) -> Figure:
    """Return a stacked bar for each experiment that answered with boxes, and the numbers."""
    bars, rows = [], []
    for e in study.experiments:
        numbers = fates(study.answers(e, of_kind("boxes")))
        boxes = sum(numbers[fate] for fate in FATES)
        if not boxes:
            continue
        source = pointer(IN_RUN.predictions(e.name), "*")
        shares = {fate: numbers[fate] / boxes for fate in (*FATES, EXTRA)}
        cells = (
            Cited(percent(part), part, source, f"share of {fate} boxes")
            for fate, part in shares.items()
        )
        rows.append([e.name, *cells, counted(boxes, source, "true boxes")])
        bars.append((e, shares))
    picture = svg.chart("stacked", "failures", "What became of the parts", bars, FATES)
    panels = [("True boxes by what became of them", "percent", picture)] if bars else []
    headings = ["Experiment", *(f"{fate}, %" for fate in (*FATES, EXTRA)), "True boxes"]
    return Figure(panels, headings, rows)


def by_parts(study: Study) -> Figure:
    """Return F1 by the number of parts in an image, with and without labels, on the same axes."""
    known = {e: own for e in study.experiments if (own := f1_by_parts(study.examples[e.name]))}
    sizes = sorted({parts for own in known.values() for parts in own[""]})
    panels: list[Panel] = []
    if len(sizes) > 1:
        panels = [_parts_panel(known, Axes(sizes, PERCENTS), kind) for kind in BY_PARTS]
    rows: list[list[str]] = []
    for parts in sizes:
        label = f"{parts} or more" if parts == MOST_PARTS else str(parts)
        rows.append([label])
        for (e, own), (kind, title) in product(known.items(), BY_PARTS.items()):
            source = pointer(IN_RUN.per_example(e.name, study.protocols[0]), "*")
            how, value = f"F1 of {title.lower()}, {label} parts", own[kind].get(parts)
            cell = "–" if value is None else Cited(percent(value), value, source, how)
            rows[-1].append(cell)
    headings = [f"{e.name}, {kind.lower()}" for e in known for kind in BY_PARTS.values()]
    return Figure(panels, ["Parts", *headings], rows)


def f1_by_parts(examples: Mapping[str, Mapping[str, float]]) -> Mapping[str, F1]:
    """Return for each of ``BY_PARTS`` the F1 at IoU 0.5 of all boxes; empty if none was scored."""
    frame = pd.DataFrame.from_dict(examples, orient="index", dtype=float)
    scored = frame[frame["true_boxes"] > 0] if "true_boxes" in frame else frame[:0]
    if scored.empty:
        return {}
    sums = scored.groupby(scored["true_boxes"].clip(upper=MOST_PARTS).astype(int)).sum()
    boxes = sums["true_boxes"] + sums["predicted_boxes"]
    return {kind: (2 * sums[f"matched_50{kind}"] / boxes).to_dict() for kind in BY_PARTS}


def _parts_panel(known: Mapping[Experiment, Mapping[str, F1]], axes: Axes, kind: str) -> Panel:
    curves: list[Curve] = []
    described = []
    for e, own in known.items():
        points = [(float(parts), 100 * value) for parts, value in own[kind].items()]
        curves.append((e, [], points, points))
        described.append(f"{e.name}: from {points[0][1]:.0f} to {points[-1][1]:.0f} percent")
    title = BY_PARTS[kind]
    texts = f"{title}, by parts", "; ".join(described), axes, "parts in an image"
    picture = svg.chart("plot", f"parts{kind}", *texts, curves)
    return title, "F1 at IoU 0.5, percent", picture


def confusions(study: Study) -> Figure:
    """Return a confusion matrix for each experiment that was asked for a yes or no."""
    panels, rows = [], []
    for e in study.experiments:
        answers = study.answers(e, of_kind("yes_no"))
        if not answers:
            continue
        counts = Counter(
            (parse_state(extract(row["reference"])), parse_state(row["prediction"]))
            for row in answers
        )
        squares = [(f"is {WORDS[true]}", [counts[true, a] for a in WORDS]) for true in TRUTHS]
        picture = svg.chart("matrix", f"confusion-{e.index}", e, SAID, squares)
        panels.append((e.name, "answers, by what is true", picture))
        source = pointer(IN_RUN.predictions(e.name), "*")
        for true in TRUTHS:
            cells = (
                counted(counts[true, said], source, f"state: true {WORDS[true]}, said {words}")
                for said, words in WORDS.items()
            )
            rows.append([e.name, WORDS[true], *cells])
    return Figure(panels, ["Experiment", "True", *SAID], rows)
