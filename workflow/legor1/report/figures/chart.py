"""What figures are made of: panels with axes, curves, bars, and the table of their data."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from legor1.core.format import short
from legor1.report import svg
from legor1.report.study import Experiment
from legor1.report.svg import tag

WIDTH = 340  # units of a panel, which are pixels at its usual size
MARGIN = 8  # room for half a marker and half a tick's label
PLOT = (40.0, 8.0, 330.0, 124.0)  # left, top, right and bottom of a curve's axes
ROW = 26  # height of a bar with its label

Point = tuple[float, float]
Points = list[Point]
Panel = tuple[str, str, Markup]  # heading, what it says in small print, picture


@dataclass(frozen=True)
class Figure:
    """One or more panels, and the data that they show as headings and rows.

    ``shared`` says that its panels hold several experiments, so that they need a legend.
    """

    panels: list[Panel]
    headings: list[str]
    rows: list[list[str]]
    title: str = ""
    about: str = ""
    shared: bool = False


@dataclass(frozen=True)
class Axes:
    """The axes of a panel, from the first to the last of their ticks.

    ``start`` is where the one across begins, if that is before its first tick.
    """

    across: Sequence[float]
    up: Sequence[float]
    start: float | None = None

    def at(self, point: Point) -> Point:
        """Return where a point of the data lies in the panel."""
        left, top, right, bottom = PLOT
        first = self.across[0] if self.start is None else self.start
        x = (point[0] - first) / (self.across[-1] - first)
        y = (point[1] - self.up[0]) / (self.up[-1] - self.up[0])
        return left + (right - left) * x, bottom - (bottom - top) * y

    def drawn(self, label: str) -> Iterable[Markup]:
        """Yield the grid and the ticks; ``label`` names what lies across."""
        left, _, right, bottom = PLOT
        for tick in self.up:
            y = self.at((0, tick))[1]
            yield tag("line", x1=left, x2=right, y1=y, y2=y, class_="grid")
            yield tag("text", short(tick), x=left - 6, y=y + 4, class_="tick end")
        for tick in self.across:
            x = self.at((tick, 0))[0]
            yield tag("text", short(tick), x=x, y=bottom + 15, class_="tick middle")
        yield tag("text", label, x=right, y=bottom + 29, class_="tick end")

    def picture(
        self, ident: str, title: str, said: str, drawn: Iterable[Markup], label: str
    ) -> Markup:
        """Return the panel: the axes, and on them what is drawn."""
        size = (WIDTH, PLOT[3] + 34)
        return svg.picture(ident, size, title, said, *self.drawn(label), *drawn, kind="chart")


def path(points: Iterable[Point], kind: str) -> Markup:
    """Return a line through points of the panel."""
    text = " ".join(f"{svg.number(x)},{svg.number(y)}" for x, y in points)
    return tag("polyline", points=text, class_=kind)


def line(axes: Axes, points: Points, experiment: Experiment) -> Iterable[Markup]:
    """Yield an experiment's line, with its marker on every point."""
    yield path(map(axes.at, points), f"curve {svg.colour(experiment.index)}")
    for point in points:
        yield svg.marker(experiment.index, *axes.at(point), radius=3.5)


def bars(ident: str, title: str, rows: Sequence[tuple[Experiment, str, float, str]]) -> Markup:
    """Return a panel of bars from 0: (experiment, what the bar is, its length, that as text)."""
    most = max(*(length for _, _, length, _ in rows), 1e-12)
    drawn = []
    for i, (experiment, label, length, text) in enumerate(rows):
        y, shade = ROW * i, f"bar {svg.colour(experiment.index)}"
        drawn += [
            tag("text", label, x=MARGIN, y=y + 14, class_="label"),
            tag("text", tag("tspan", text, class_="strong"), x=WIDTH - MARGIN, y=y + 14,
                class_="label end"),
            tag("rect", x=MARGIN, y=y + 18, width=(WIDTH - 2 * MARGIN) * length / most, height=5,
                class_=shade),
        ]  # fmt: skip
    said = "; ".join(f"{label}: {text}" for _, label, _, text in rows)
    return svg.picture(ident, (WIDTH, ROW * len(rows) + 4), title, said, *drawn, kind="chart")


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """Return round values, ``most`` steps at most, from at or below low to at or above high."""
    if high <= low:
        low, high = low - (abs(low) * 0.1 or 1), high + (abs(high) * 0.1 or 1)
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    for factor in (1, 2, 2.5, 5, 10, 20):
        step = factor * power
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first <= most:
            break
    return [round(i * step, 12) for i in range(first, last + 1)]
