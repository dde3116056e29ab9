"""How well boxes are placed: IoU by image, F1 by threshold, and IoU by the size of the true box."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from legor1.core.boxes import iou_matrix
from legor1.core.format import count, percent
from legor1.core.layout import IN_RUN
from legor1.report import svg
from legor1.report.citation import Cited, pointer
from legor1.report.figures.chart import Axes, Figure, line, nice_ticks
from legor1.report.study import Experiment, Record, Study
from legor1.report.svg import tag
from legor1.tasks.discovery import of_kind
from legor1.tasks.metrics.detection import match
from legor1.tasks.parsing import parse_objects

BINS = 10  # of equal width, and one more for an IoU of 0
THRESHOLDS = [round(0.05 * i, 2) for i in range(1, 20)]
QUARTERS, PERCENTS = [0, 0.25, 0.5, 0.75, 1], [0, 25, 50, 75, 100]  # ticks
SIZES = 5  # groups of true boxes, of about equal number

Means = dict[int, tuple[float, float, int]]  # group → mean area, mean IoU and number of its boxes


@dataclass(frozen=True)
class Matched:
    """The boxes of all object answers of an experiment.

    Attributes:
        areas: (true boxes,): the share of the image that each covers.
        ious: (true boxes,): its IoU with the predicted box that it was matched to; 0 for none.
    """

    areas: np.ndarray
    ious: np.ndarray
    predicted: int

    def f1(self, threshold: float) -> float:
        """Return the F1 of the boxes where an IoU of ``threshold`` is a hit."""
        boxes = self.predicted + len(self.ious)
        return 2 * float((self.ious >= threshold).sum()) / boxes if boxes else 1.0


def matched(rows: Sequence[Record]) -> Matched:
    """Match the boxes of answers, as the metrics do: the greatest total IoU of each image."""
    areas, ious, predicted = [], [], 0
    for row in rows:
        said = [one.box for one in parse_objects(row["prediction"]) or []]
        true = [one.box for one in parse_objects(row["reference"]) or []]
        overlaps = iou_matrix(said, true)
        best = np.zeros(len(true))
        pairs = match(overlaps)
        best[pairs[1]] = overlaps[pairs]
        ious.append(best)
        image = max(1, row["width"] * row["height"])
        areas += [abs((x2 - x1) * (y2 - y1)) / image for x1, y1, x2, y2 in true]
        predicted += len(said)
    return Matched(np.array(areas), np.concatenate([np.empty(0), *ious]), predicted)


def figures(study: Study) -> list[Figure]:
    """Return the figures of the object task, none where nothing was predicted for it."""
    found = {}
    for one in study.experiments:
        rows = [
            row for row in study.predictions[one.name].values() if row["task"] in of_kind("boxes")
        ]
        if rows:
            found[one] = matched(rows)
    boxes = {one: boxes for one, boxes in found.items() if len(boxes.ious)}
    made = [distribution(study), *([by_threshold(boxes), by_size(boxes)] if boxes else [])]
    return [figure for figure in made if figure.panels]


def distribution(study: Study) -> Figure:
    """Return one panel an experiment: how many images have which IoU."""
    panels, columns, known = [], [], []
    for one in study.experiments:
        ious = [row["iou"] for row in study.examples[one.name].values() if "iou" in row]
        ious = [iou for iou in ious if iou == iou]
        if not ious:
            continue
        counts = np.bincount([_bin(iou) for iou in ious], minlength=BINS + 1)
        file = IN_RUN.per_example(one.name, study.protocols[0])
        columns.append([_counted(n, file, i) for i, n in enumerate(counts.tolist())])
        known.append(one.name)
        title = f"Images by IoU, {one.name}"
        panels.append((one.name, "images by their IoU", _histogram(one, title, counts / len(ious))))
    rows = [[_named(i), *cells] for i, cells in enumerate(zip(*columns, strict=True))]
    about = "How many images have which IoU; the first bar is an IoU of exactly zero."
    return Figure(panels, ["IoU", *known], rows, "IoU by image", about)


def _bin(iou: float) -> int:
    return 0 if iou == 0 else 1 + min(int(iou * BINS + 1e-9), BINS - 1)


def _named(i: int) -> str:
    return "0" if i == 0 else f"{(i - 1) / BINS:.1f} to {i / BINS:.1f}"


def _counted(n: int, file: str, i: int) -> Cited:
    return Cited(count(n), n, pointer(file, "*", "iou"), f"how many in {_named(i)}")


def _histogram(one: Experiment, title: str, shares: np.ndarray) -> Markup:
    axes = Axes(QUARTERS, nice_ticks(0, 100 * float(shares.max()), 4), start=-1 / BINS)
    drawn: list[Markup] = []
    for i, share in enumerate(shares.tolist()):
        left, top = axes.at(((i - 1) / BINS + 0.01, 100 * share))
        right, bottom = axes.at((i / BINS - 0.01, 0))
        size = {"width": right - left, "height": bottom - top}
        drawn.append(tag("rect", x=left, y=top, **size, class_=f"bar {svg.colour(one.index)}"))
    most = _named(int(shares.argmax()))
    said = f"Percent of images. Most have an IoU of {most}; {percent(shares[0])} have none."
    return axes.picture(f"overlap-{one.index}", title, said, drawn, "IoU of an image")


def by_threshold(found: dict[Experiment, Matched]) -> Figure:
    """Return the F1 of the boxes against the IoU that makes a hit."""
    axes = Axes(QUARTERS, PERCENTS)
    drawn: list[Markup] = []
    said = []
    for one, boxes in found.items():
        drawn += line(axes, [(t, 100 * boxes.f1(t)) for t in THRESHOLDS], one)
        said.append(f"{one.name}: {percent(boxes.f1(0.5))} at 0.5")
    picture = axes.picture(
        "threshold", "F1 by IoU threshold", "; ".join(said), drawn, "IoU of a hit"
    )
    rows = [[f"{t:.2f}", *(_f1(boxes, one, t) for one, boxes in found.items())] for t in THRESHOLDS]
    about = "F1 of all boxes, in percent, where so much overlap makes a hit."
    panel = ("F1 by IoU threshold", "percent", picture)
    headings = ["IoU", *(one.name for one in found)]
    return Figure([panel], headings, rows, "F1 against the IoU threshold", about, shared=True)


def _f1(boxes: Matched, one: Experiment, threshold: float) -> Cited:
    value, file = boxes.f1(threshold), pointer(IN_RUN.predictions(one.name), "*")
    return Cited(percent(value), value, file, f"F1 of boxes at IoU {threshold}")


def by_size(found: dict[Experiment, Matched]) -> Figure:
    """Return the mean IoU of true boxes against their size, in groups of about equal number."""
    areas = np.concatenate([boxes.areas for boxes in found.values()])
    # The largest of each group, which is a true box: so it does not matter how many experiments
    # were asked about each.
    shares = np.linspace(0, 1, SIZES + 1)[1:]
    largest = np.unique(np.quantile(areas, shares, method="inverted_cdf"))
    axes = Axes(nice_ticks(0, 100 * float(largest[-1]), 4), PERCENTS)
    means = {one: _means(boxes, largest) for one, boxes in found.items()}
    drawn: list[Markup] = []
    for one, groups in means.items():
        drawn += line(axes, [(100 * area, 100 * iou) for area, iou, _ in groups.values()], one)
    ends = ((one.name, [iou for _, iou, _ in groups.values()]) for one, groups in means.items())
    said = "; ".join(f"{name}: from {percent(a[0])} to {percent(a[-1])}" for name, a in ends)
    picture = axes.picture("box-size", "IoU by box size", said, drawn, "percent of the image")
    lows = [float(areas.min()), *largest[:-1].tolist()]
    rows = [
        [f"{100 * low:.2f} to {100 * high:.2f}", *_size_cells(means, i, len(largest))]
        for i, (low, high) in enumerate(zip(lows, largest.tolist(), strict=True))
    ]
    headings = ["Box, % of the image", *(f"{e.name}{x}" for e in found for x in ("", ", boxes"))]
    about = "Mean IoU of the true boxes, in percent, by their size; one that no box met counts 0."
    panel = ("IoU by box size", "percent, small boxes left", picture)
    return Figure([panel], headings, rows, "Box size against IoU", about, shared=True)


def _means(boxes: Matched, largest: np.ndarray) -> Means:
    found = {}
    groups = np.searchsorted(largest, boxes.areas)
    for i in np.unique(groups):
        areas, ious = boxes.areas[groups == i], boxes.ious[groups == i]
        found[int(i)] = float(areas.mean()), float(ious.mean()), len(ious)
    return found


def _size_cells(means: dict[Experiment, Means], i: int, of: int) -> list[str]:
    """Return the mean IoU and the number of each experiment's true boxes in group ``i``."""
    cells: list[str] = []
    for one, groups in means.items():
        if i not in groups:
            cells += ["–", "0"]
            continue
        file = pointer(IN_RUN.predictions(one.name), "*")
        how = f"of true boxes in group {i + 1} of {of} by size"
        _, iou, n = groups[i]
        cells += [
            Cited(percent(iou), iou, file, f"mean IoU {how}"),
            Cited(count(n), n, file, f"number {how}"),
        ]
    return cells
