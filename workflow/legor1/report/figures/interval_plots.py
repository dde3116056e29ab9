"""Every experiment's value of a metric with its interval."""

import math
from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup

from legor1.core.format import percent, short
from legor1.report import svg
from legor1.report.figures.chart import MARGIN, WIDTH, Figure, nice_ticks
from legor1.report.study import Experiment, Score, Study
from legor1.report.svg import tag
from legor1.tasks.discovery import METRICS
from legor1.tasks.task import Shown

HEIGHT = 42  # of one experiment in a panel
ENDS = ("low", "high")


def intervals(
    study: Study, protocol: str, prefix: str, metrics: Sequence[Shown] = METRICS
) -> Figure:
    """Return one panel a metric: every experiment's value with its interval, in percent."""
    panels, rows = [], []
    for one in metrics:
        scored = [(e, study.score(protocol, one.task, one.name, e)) for e in study.experiments]
        known = [(experiment, score) for experiment, score in scored if score is not None]
        if not known:
            continue
        direction = "higher is better" if one.higher else "lower is better"
        picture = interval_panel(f"{prefix}-{one.name}", one.label, known)
        panels.append((one.label, f"percent, {direction}", picture))
        rows += [
            [one.label, e.name, s.cited(), *(_end(s, end) for end in ENDS), s.cited("n")]
            for e, s in known
        ]
    return Figure(panels, ["Metric", "Experiment", "Value, %", "Low", "High", "Examples"], rows)


def _end(score: Score, end: str) -> str:
    return score.cited(end) if score.bounded else "–"


def interval_panel(ident: str, label: str, scored: list[tuple[Experiment, Score]]) -> Markup:
    """Return the panel of one metric: an axis from 0, and a marker on a bar an experiment."""
    ends = [100 * x for _, s in scored for x in (s.value, s.high) if math.isfinite(x)]
    ticks = nice_ticks(0, max([*ends, 1]), 5)
    bottom = HEIGHT * len(scored) + 4

    def at(value: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * value / ticks[-1]

    grid = [
        part
        for tick in ticks
        for part in (
            tag("line", x1=at(tick), x2=at(tick), y1=0, y2=bottom, class_="grid"),
            tag("text", short(tick), x=at(tick), y=bottom + 15, class_="tick middle"),
        )
    ]
    lines = [part for i, pair in enumerate(scored) for part in _interval(pair, HEIGHT * i, at)]
    said = "; ".join(f"{e.name} {percent(s.value)}, {span(s)}" for e, s in scored)
    size = (WIDTH, bottom + 20)
    return svg.picture(ident, size, f"{label} by experiment", said, *grid, *lines, kind="chart")


def _interval(
    pair: tuple[Experiment, Score], top: float, at: Callable[[float], float]
) -> Iterable[Markup]:
    experiment, score = pair
    y = top + 29
    yield tag("text", experiment.name, x=MARGIN, y=top + 16, class_="label")
    value = tag("tspan", percent(score.value), class_="strong")
    interval = tag("tspan", span(score), dx=9)
    yield tag("text", value, interval, x=WIDTH - MARGIN, y=top + 16, class_="label end")
    if score.bounded:
        ends = {"x1": at(100 * score.low), "x2": at(100 * score.high)}
        yield tag("line", **ends, y1=y, y2=y, class_=f"bar {svg.colour(experiment.index)}")
    yield svg.marker(experiment.index, at(100 * score.value), y)


def span(score: Score) -> str:
    """Return the interval as text, in percent."""
    if not score.bounded:
        return "no interval"
    return f"{percent(score.low)}–{percent(score.high)}"
