"""The frame diagnostic: are predicted boxes in pixels of the image that they are scored in?"""

from functools import partial
from typing import Any

from markupsafe import Markup

from legor1.core.format import count, percent, slope
from legor1.core.layout import IN_RUN
from legor1.report import svg
from legor1.report.citation import cite
from legor1.report.figures.chart import Axes, Figure, path
from legor1.report.study import Experiment, Study

FRAMES = {
    "original": "as they are",
    "processed": "× original / processed",
    "converted_twice": "× processed / original",
}
ABOUT = (
    "Boxes in pixels of a resized image, taken for pixels of the original, score low however well "
    "they were placed. Then the slope of predicted over true coordinates, across (solid) or down "
    "(dashed), leaves the grey diagonal, and rescaled boxes score much better. The thesis’s SFT "
    "model looks like such a case."
)


def frames(study: Study) -> Figure:
    """Return one panel for each experiment that has the diagnostic.

    Its table has the mean IoU, in percent, of the same boxes taken as they are and rescaled, and
    the slopes of predicted over true coordinates, which are 1 where the frame is right.
    """
    panels, rows = [], []
    for one in study.experiments:
        scores = study.scoring[one.name]
        diagnosed = {t: data for t, data in scores.get("tasks", {}).items() if data.get("frame")}
        if not diagnosed:
            continue
        task, found = next((t, data["frame"]) for t, data in diagnosed.items())
        file = IN_RUN.scores(one.name, study.protocols[0])
        cited = partial(cite, file, scores, "tasks", task, "frame")
        ious = (cited("iou", kind, write=percent) for kind in FRAMES)
        slopes = (cited("all", axis, "slope", write=slope) for axis in "xy")
        rows.append([one.name, *ious, *slopes, cited("all", "pairs", write=count)])
        panels.append((one.name, "predicted over true coordinates", _panel(one, found["all"])))
    kinds = [f"IoU, boxes {text}" for text in FRAMES.values()]
    headings = ["Experiment", *kinds, "Slope x", "Slope y", "Pairs of boxes"]
    return Figure(panels, headings, rows, "Are the boxes in the right frame?", ABOUT)


def _panel(one: Experiment, fits: dict[str, Any]) -> Markup:
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes = Axes(ticks, ticks)
    drawn = [path(map(axes.at, [(0, 0), (1, 1)]), "right-frame")]
    for axis, kind in (("x", ""), ("y", " dashed")):
        fit = fits[axis]
        if fit["slope"] is not None:
            # The intercept is a fraction of the side too; what leaves the panel is cut off.
            ends = _inside(fit["slope"], fit["intercept"])
            drawn.append(path(map(axes.at, ends), f"curve {svg.colour(one.index)}{kind}"))
    said = f"Slopes {slope(fits['x']['slope'])} across and {slope(fits['y']['slope'])} down."
    title = f"Predicted over true coordinates, {one.name}"
    return axes.picture(f"frame-{one.index}", title, said, drawn, "true, as a share of the side")


def _inside(slope: float, intercept: float) -> list[tuple[float, float]]:
    """Return the ends of a line within the unit square, or at its border where it misses it."""
    xs = [0.0, 1.0]
    if slope:
        low, high = sorted(((0 - intercept) / slope, (1 - intercept) / slope))
        xs = [min(max(end, 0.0), 1.0) for end in (max(low, 0.0), min(high, 1.0))]
    return [(x, min(max(intercept + slope * x, 0.0), 1.0)) for x in xs]
