"""Spatial accuracy against textual precision: is one bought with the other?"""

from legor1.report import svg
from legor1.report.cited import percent
from legor1.report.figures.chart import Axes, Figure, Panel, nice_ticks
from legor1.report.metrics import Metric, metric
from legor1.report.study import Experiment, Score, Study
from legor1.report.svg import tag

TEXTUAL = ("f1_object", "f1_theme")

Placed = list[tuple[Experiment, Score, Score]]


def tradeoff(study: Study) -> Figure:
    """Return a panel for each protocol and textual metric: IoU across, the metric upwards."""
    spatial, panels, rows = metric("iou"), [], []
    for protocol in study.protocols:
        for textual in map(metric, TEXTUAL):
            placed: Placed = []
            for one in study.experiments:
                x, y = (study.score(protocol, m.task, m.name, one) for m in (spatial, textual))
                if x and y:
                    placed.append((one, x, y))
                    rows.append([protocol, textual.label, one.name, x.cited(), y.cited()])
            if placed:
                panels.append(_panel(protocol, textual, placed))
    return Figure(
        panels,
        ["Protocol", "Textual metric", "Experiment", "Mean IoU, %", "Textual, %"],
        rows,
        "Placing against naming",
        "Spatial accuracy across, textual precision upwards; the lines are intervals.",
        shared=True,
    )


def _panel(protocol: str, textual: Metric, placed: Placed) -> Panel:
    xs = [100 * end for _, x, _ in placed for end in _ends(x)]
    ys = [100 * end for _, _, y in placed for end in _ends(y)]
    axes = Axes(nice_ticks(0, max([*xs, 1]), 4), nice_ticks(0, max([*ys, 1]), 4))
    drawn = []
    for one, x, y in placed:
        shade, at = f"bar {svg.colour(one.index)}", (100 * x.value, 100 * y.value)
        ends = [[(100 * end, at[1]) for end in (x.low, x.high)]] if x.bounded else []
        ends += [[(at[0], 100 * end) for end in (y.low, y.high)]] if y.bounded else []
        for (x1, y1), (x2, y2) in (map(axes.at, pair) for pair in ends):
            drawn.append(tag("line", x1=x1, x2=x2, y1=y1, y2=y2, class_=shade))
    # Above all lines, so that no marker is crossed out.
    drawn += [svg.marker(e.index, *axes.at((100 * x.value, 100 * y.value))) for e, x, y in placed]
    said = "; ".join(
        f"{one.name}: IoU {percent(x.value)}, {textual.label} {percent(y.value)}"
        for one, x, y in placed
    )
    title = f"Mean IoU and {textual.label}, protocol {protocol}"
    picture = axes.picture(
        f"trade-{protocol}-{textual.name}", title, said, drawn, "mean IoU, percent"
    )
    return f"{textual.label} against mean IoU", f"percent, protocol {protocol}", picture


def _ends(score: Score) -> list[float]:
    return [score.value, score.high] if score.bounded else [score.value]
