"""Where answers are right, and where wrong: overlap of boxes, their frame, confusion of yes and no.

Boxes count well placed by their IoU: by image, by the threshold of a hit, by the true box's size.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from markupsafe import Markup

from legor1.core.boxes import iou_matrix
from legor1.core.format import count, percent, slope
from legor1.core.layout import IN_RUN
from legor1.report import svg
from legor1.report.citation import Cited, Record, cite, counted, pointer
from legor1.report.study import Experiment, Study
from legor1.report.svg import Axes, Figure, Panel, lines, nice_ticks, path, tag
from legor1.tasks.discovery import of_kind
from legor1.tasks.metrics.detection import match
from legor1.tasks.parsing import extract, parse_objects, parse_state

BINS = 10  # of equal width, and one more for an IoU of 0
THRESHOLDS = [round(0.05 * i, 2) for i in range(1, 20)]
QUARTERS, PERCENTS = [0, 0.25, 0.5, 0.75, 1], [0, 25, 50, 75, 100]  # ticks
SIZES = 5  # groups of true boxes, of about equal number
FRAMES = {
    "original": "as they are",
    "processed": "× original / processed",
    "converted_twice": "× processed / original",
}
ABOUT_FRAMES = (
    "Boxes in pixels of a resized image, taken for pixels of the original, score low however well "
    "they were placed. Then the slope of predicted over true coordinates, across (solid) or down "
    "(dashed), leaves the grey diagonal, and rescaled boxes score much better. The thesis’s SFT "
    "model looks like such a case."
)
WORDS = {True: "Yes", False: "No", None: "unreadable"}
SAID = ["said Yes", "said No", "unreadable"]

Means = dict[int, tuple[float, float, int]]  # group → mean area, mean IoU and number of its boxes
Counts = Counter[tuple[bool | None, bool | None]]  # true, said


@dataclass(frozen=True)
class Matched:
    """The boxes of all object answers of an experiment.

    Attributes:
        areas: (true boxes,): the share of the image that each covers.
        ious: (true boxes,): its IoU with the predicted box that it was matched to; 0 for none.
        predicted: the number of predicted boxes.
    """

    areas: np.ndarray
    ious: np.ndarray
    predicted: int

    def f1(self, threshold: float) -> float:
        """Return the F1 of the boxes where an IoU of ``threshold`` is a hit."""
        boxes = self.predicted + len(self.ious)
        return 2 * float((self.ious >= threshold).sum()) / boxes if boxes else 1.0


def figures(study: Study) -> list[Figure]:
    """Return the figures of answers that have anything to show."""
    shown = [*overlaps(study), frames(study), confusions(study)]
    return [figure for figure in shown if figure.panels]


def matched(rows: Sequence[Record]) -> Matched:
    """Match the boxes of answers, as the metrics do: the greatest total IoU of each image."""
    areas, ious, predicted = [], [], 0
    for row in rows:
        answered = [item.box for item in parse_objects(row["prediction"]) or []]
        true = [item.box for item in parse_objects(row["reference"]) or []]
        overlap = iou_matrix(answered, true)
        best = np.zeros(len(true))
        pairs = match(overlap)
        best[pairs[1]] = overlap[pairs]
        ious.append(best)
        image = max(1, row["width"] * row["height"])
        areas += [abs((x2 - x1) * (y2 - y1)) / image for x1, y1, x2, y2 in true]
        predicted += len(answered)
    return Matched(np.array(areas), np.concatenate([np.empty(0), *ious]), predicted)


def overlaps(study: Study) -> list[Figure]:
    """Return the figures of the object task, none where nothing was predicted for it."""
    answers = {e: study.answers(e, of_kind("boxes")) for e in study.experiments}
    boxes = {e: matched(rows) for e, rows in answers.items() if rows}
    boxes = {e: own for e, own in boxes.items() if len(own.ious)}
    made = [_by_image(study), *([_by_threshold(boxes), _by_size(boxes)] if boxes else [])]
    return [figure for figure in made if figure.panels]


def _by_image(study: Study) -> Figure:
    """Return one panel an experiment: how many images have which IoU."""
    panels: list[Panel] = []
    columns, names = [], []
    for e in study.experiments:
        ious = [row["iou"] for row in study.examples[e.name].values() if "iou" in row]
        ious = [iou for iou in ious if iou == iou]
        if not ious:
            continue
        bins = [0 if iou == 0 else 1 + min(int(iou * BINS + 1e-9), BINS - 1) for iou in ious]
        counts = np.bincount(bins, minlength=BINS + 1)
        source = pointer(IN_RUN.per_example(e.name, study.protocols[0]), "*", "iou")
        hows = (f"how many in {_interval(i)}" for i in range(BINS + 1))
        numbers = zip(counts.tolist(), hows, strict=True)
        columns.append([counted(n, source, how) for n, how in numbers])
        names.append(e.name)
        panels.append((e.name, "images by their IoU", _histogram(e, counts / len(ious))))
    rows = [[_interval(i), *cells] for i, cells in enumerate(zip(*columns, strict=True))]
    about = "How many images have which IoU; the first bar is an IoU of exactly zero."
    return Figure(panels, ["IoU", *names], rows, "IoU by image", about)


def _interval(i: int) -> str:
    return "0" if i == 0 else f"{(i - 1) / BINS:.1f} to {i / BINS:.1f}"


def _histogram(experiment: Experiment, shares: np.ndarray) -> Markup:
    axes = Axes(QUARTERS, nice_ticks(0, 100 * float(shares.max()), 4), start=-1 / BINS)
    drawn, shade = list[Markup](), f"bar {svg.colour(experiment.index)}"
    for i, share in enumerate(shares.tolist()):
        left, top = axes.at(((i - 1) / BINS + 0.01, 100 * share))
        right, bottom = axes.at((i / BINS - 0.01, 0))
        width, height = right - left, bottom - top
        drawn.append(tag("rect", x=left, y=top, width=width, height=height, class_=shade))
    most, ident = _interval(int(shares.argmax())), f"overlap-{experiment.index}"
    description = f"Percent of images. Most have an IoU of {most}; {percent(shares[0])} have none."
    title = f"Images by IoU, {experiment.name}"
    return axes.picture(ident, title, description, drawn, "IoU of an image")


def _by_threshold(boxes: dict[Experiment, Matched]) -> Figure:
    axes = Axes(QUARTERS, PERCENTS)
    curves = {e: [(t, 100 * own.f1(t)) for t in THRESHOLDS] for e, own in boxes.items()}
    described = "; ".join(f"{e.name}: {percent(own.f1(0.5))} at 0.5" for e, own in boxes.items())
    title = "F1 by IoU threshold"
    picture = axes.picture("threshold", title, described, lines(axes, curves), "IoU of a hit")
    rows = [[f"{t:.2f}", *(_f1(own, e, t) for e, own in boxes.items())] for t in THRESHOLDS]
    about = "F1 of all boxes, in percent, where so much overlap makes a hit."
    headings = ["IoU", *(e.name for e in boxes)]
    panels = [(title, "percent", picture)]
    return Figure(panels, headings, rows, "F1 against the IoU threshold", about, shared=True)


def _f1(boxes: Matched, experiment: Experiment, threshold: float) -> Cited:
    value, source = boxes.f1(threshold), pointer(IN_RUN.predictions(experiment.name), "*")
    return Cited(percent(value), value, source, f"F1 of boxes at IoU {threshold}")


def _by_size(boxes: dict[Experiment, Matched]) -> Figure:
    """Return the mean IoU of true boxes against their size, in groups of about equal number."""
    areas = np.concatenate([own.areas for own in boxes.values()])
    # The largest of each group, which is a true box: so it does not matter how many experiments
    # were asked about each.
    shares = np.linspace(0, 1, SIZES + 1)[1:]
    largest = np.unique(np.quantile(areas, shares, method="inverted_cdf"))
    axes = Axes(nice_ticks(0, 100 * float(largest[-1]), 4), PERCENTS)
    means = {e: _means(own, largest) for e, own in boxes.items()}
    curves = {e: [(100 * a, 100 * iou) for a, iou, _ in m.values()] for e, m in means.items()}
    ends = [(e.name, points[0][1] / 100, points[-1][1] / 100) for e, points in curves.items()]
    described = "; ".join(f"{name}: from {percent(a)} to {percent(b)}" for name, a, b in ends)
    title, drawn = "IoU by box size", lines(axes, curves)
    picture = axes.picture("box-size", title, described, drawn, "percent of the image")
    lows = [float(areas.min()), *largest[:-1].tolist()]
    rows = [
        [f"{100 * low:.2f} to {100 * high:.2f}", *_size_cells(means, i, len(largest))]
        for i, (low, high) in enumerate(zip(lows, largest.tolist(), strict=True))
    ]
    headings = ["Box, % of the image", *(f"{e.name}{x}" for e in boxes for x in ("", ", boxes"))]
    about = "Mean IoU of the true boxes, in percent, by their size; one that no box met counts 0."
    panels = [(title, "percent, small boxes left", picture)]
    return Figure(panels, headings, rows, "Box size against IoU", about, shared=True)


def _means(boxes: Matched, largest: np.ndarray) -> Means:
    groups = np.searchsorted(largest, boxes.areas)
    means = {}
    for i in np.unique(groups):
        areas, ious = boxes.areas[groups == i], boxes.ious[groups == i]
        means[int(i)] = float(areas.mean()), float(ious.mean()), len(ious)
    return means


def _size_cells(means: dict[Experiment, Means], i: int, of: int) -> list[str]:
    """Return the mean IoU and the number of each experiment's true boxes in group ``i``."""
    cells: list[str] = []
    for experiment, groups in means.items():
        if i not in groups:
            cells += ["–", "0"]
            continue
        source = pointer(IN_RUN.predictions(experiment.name), "*")
        how = f"of true boxes in group {i + 1} of {of} by size"
        _, iou, n = groups[i]
        mean = Cited(percent(iou), iou, source, f"mean IoU {how}")
        cells += [mean, counted(n, source, f"number {how}")]
    return cells


def frames(study: Study) -> Figure:
    """Return one panel for each experiment whose boxes were tested for their frame.

    The table has the mean IoU of the same boxes as they are and rescaled, in percent, and slopes.
    """
    panels, rows = [], []
    for e in study.experiments:
        scores = study.scoring[e.name]
        tested = [task for task, facts in scores.get("tasks", {}).items() if facts.get("frame")]
        if not tested:
            continue
        file, where = IN_RUN.scores(e.name, study.protocols[0]), ("tasks", tested[0], "frame")
        cited = partial(cite, file, scores, *where)
        ious = (cited("iou", kind, write=percent) for kind in FRAMES)
        slopes = (cited("all", axis, "slope", write=slope) for axis in "xy")
        rows.append([e.name, *ious, *slopes, cited("all", "pairs", write=count)])
        fits = scores["tasks"][tested[0]]["frame"]["all"]
        panels.append((e.name, "predicted over true coordinates", _fit_panel(e, fits)))
    kinds = [f"IoU, boxes {text}" for text in FRAMES.values()]
    headings = ["Experiment", *kinds, "Slope x", "Slope y", "Pairs of boxes"]
    return Figure(panels, headings, rows, "Are the boxes in the right frame?", ABOUT_FRAMES)


def _fit_panel(experiment: Experiment, fits: Record) -> Markup:
    axes = Axes(QUARTERS, QUARTERS)
    drawn = [path(map(axes.at, [(0, 0), (1, 1)]), "right-frame")]
    for axis, dashed in (("x", ""), ("y", " dashed")):
        fit = fits[axis]
        if fit["slope"] is not None:
            # The intercept is a fraction of the side too; what leaves the panel is cut off.
            ends = _inside(fit["slope"], fit["intercept"])
            drawn.append(path(map(axes.at, ends), f"curve {svg.colour(experiment.index)}{dashed}"))
    slopes = f"Slopes {slope(fits['x']['slope'])} across and {slope(fits['y']['slope'])} down."
    title = f"Predicted over true coordinates, {experiment.name}"
    label = "true, as a share of the side"
    return axes.picture(f"frame-{experiment.index}", title, slopes, drawn, label)


def _inside(slope: float, intercept: float) -> list[tuple[float, float]]:
    """Return the ends of a line within the unit square, or at its border where it misses it."""
    xs = [0.0, 1.0]
    if slope:
        low, high = sorted(((0 - intercept) / slope, (1 - intercept) / slope))
        xs = [min(max(end, 0.0), 1.0) for end in (max(low, 0.0), min(high, 1.0))]
    return [(x, min(max(intercept + slope * x, 0.0), 1.0)) for x in xs]


def confusions(study: Study) -> Figure:
    """Return a confusion matrix for each experiment that was asked for a yes or no."""
    panels, rows = [], []
    for e in study.experiments:
        answers = study.answers(e, of_kind("yes_no"))
        counts: Counts = Counter(
            (parse_state(extract(row["reference"])), parse_state(row["prediction"]))
            for row in answers
        )
        if answers:
            panels.append((e.name, "answers, by what is true", _matrix(e, counts)))
            source = pointer(IN_RUN.predictions(e.name), "*")
            for true in (True, False):
                rows.append([e.name, WORDS[true], *_cells(source, counts, true)])
    about = "Shaded by the share of the row. Unreadable answers count as wrong."
    headings = ["Experiment", "True", *SAID]
    return Figure(panels, headings, rows, "Right steps and wrong ones", about)


def _cells(source: str, counts: Counts, true: bool) -> Iterable[Cited]:
    for answer, words in WORDS.items():
        yield counted(counts[true, answer], source, f"state: true {WORDS[true]}, said {words}")


def _matrix(experiment: Experiment, counts: Counts) -> Markup:
    rows = [(f"is {WORDS[true]}", [counts[true, a] for a in WORDS]) for true in (True, False)]
    description = "; ".join(
        f"is {WORDS[true]}, said {WORDS[answer]}: {n}"
        for (true, answer), n in sorted(counts.items(), key=str)
    )
    ident, title = f"confusion-{experiment.index}", f"Confusion matrix of {experiment.name}"
    values = {"experiment": experiment, "headings": SAID, "rows": rows}
    return svg.chart("matrix", ident, title, description, **values)
