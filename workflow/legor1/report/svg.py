"""Inline SVG and the figures made of it, every value escaped; the page's stylesheet colours it."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from markupsafe import Markup, escape

from legor1.core.format import count, short
from legor1.report.publishable import environment
from legor1.report.study import Experiment

COLOURS = 6  # --e0 to --e5 in the stylesheet
# Left, top, right and bottom of a curve's axes, in units of a panel: pixels at its usual size.
PLOT = (40.0, 8.0, 330.0, 124.0)

Point = tuple[float, float]
Points = list[Point]
Panel = tuple[str, str, Markup]  # heading, caption, picture

MARKERS: tuple[Points, ...] = (  # corners, in radii
    [],  # a circle
    [(-1, -1), (1, -1), (1, 1), (-1, 1)],
    [(0, -1.2), (1.15, 0.9), (-1.15, 0.9)],
    [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
    [(0, 1.2), (1.15, -0.9), (-1.15, -0.9)],
)


@dataclass(frozen=True)
class Figure:
    """One or more panels, and the data that they show as headings and rows.

    ``shared`` says that its panels hold several experiments, so that they need a legend.
    """

    panels: Sequence[Panel]
    headings: list[str]
    rows: list[list[str]]
    title: str = ""
    about: str = ""
    shared: bool = False


@dataclass(frozen=True)
class Axes:
    """The axes of a panel, from the first to the last of their ticks."""

    across: Sequence[float]
    up: Sequence[float]

    def at(self, point: Point) -> Point:
        """Return where a point of the data lies in the panel."""
        left, top, right, bottom = PLOT
        x = (point[0] - self.across[0]) / (self.across[-1] - self.across[0])
        y = (point[1] - self.up[0]) / (self.up[-1] - self.up[0])
        return left + (right - left) * x, bottom - (bottom - top) * y

    def picture(
        self, ident: str, title: str, description: str, drawn: Iterable[Markup], label: str
    ) -> Markup:
        """Return the panel: axes, the horizontal one labelled, and on them what is drawn."""
        values = {"axes": self, "area": PLOT, "label": label, "drawn": drawn}
        return chart("plot", ident, title, description, **values)


def chart(macro: str, ident: str, title: str, description: str, **values: object) -> Markup:
    """Return what a macro of ``_charts.html.j2`` draws; its ``ident`` is unique in the page."""
    return macros("_charts.html.j2")[macro](ident, title, description, **values)


@cache
def macros(template: str) -> Mapping[str, Callable[..., Markup]]:
    """Return the macros of a template by name."""
    made = environment()
    made.filters |= {"colour": colour, "count": count, "marker": marker}
    made.filters |= {"number": number, "short": short}
    return vars(made.get_template(template).module)


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """Return an element; its children are escaped unless they are ``Markup``.

    In an attribute's name ``_`` stands for ``-``, at the end for nothing (``class_``); None leaves
    the attribute out.
    """
    given = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), number(value))
        for key, value in attributes.items()
        if value is not None
    )
    texts = (child if isinstance(child, Markup) else escape(str(child)) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(name, given, Markup("").join(texts))


def number(value: object) -> str:
    """Return ``value`` as text, a float with two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def colour(index: int) -> str:
    """Return the class that sets the colour of experiment number ``index``."""
    return f"e{index % COLOURS}"


def marker(index: int, x: float, y: float, radius: float = 5.5) -> Markup:
    """Return the marker of experiment number ``index`` at a point, so that colour is not alone."""
    corners, kind = MARKERS[index % len(MARKERS)], f"mark {colour(index)}"
    if not corners:
        return tag("circle", cx=x, cy=y, r=radius, class_=kind)
    points = ((x + radius * dx, y + radius * dy) for dx, dy in corners)
    return tag("polygon", points=_listed(points), class_=kind)


def badge(index: int) -> Markup:
    """Return the marker alone, as it stands before an experiment's name in the text."""
    shape = marker(index, 7, 7.5)
    return tag("svg", shape, viewBox="0 0 14 14", class_="badge", aria_hidden="true")


def path(points: Iterable[Point], kind: str) -> Markup:
    """Return a line through points of the panel."""
    return tag("polyline", points=_listed(points), class_=kind)


def _listed(points: Iterable[Point]) -> str:
    return " ".join(f"{number(x)},{number(y)}" for x, y in points)


def lines(axes: Axes, curves: Mapping[Experiment, Points]) -> Iterable[Markup]:
    """Yield each experiment's line, with its marker on every point."""
    for experiment, points in curves.items():
        yield path(map(axes.at, points), f"curve {colour(experiment.index)}")
        for point in points:
            yield marker(experiment.index, *axes.at(point), radius=3.5)


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
