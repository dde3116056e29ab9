"""Inline SVG and the figures made of it: ``_charts.html.j2`` draws, the stylesheet colours."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from markupsafe import Markup

from legor1.report.publishable import environment
from legor1.report.study import Experiment

Point = tuple[float, float]
Points = list[Point]
Panel = tuple[str, str, Markup]  # heading, caption, picture
Curve = tuple[Experiment, Points, Points, Points]  # faint, strong, and the points with a marker


@dataclass(frozen=True)
class Figure:
    """One or more panels, and the data that they show as headings and rows."""

    panels: Sequence[Panel]
    headings: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Axes:
    """The axes of a panel, from the first to the last of their ticks."""

    across: Sequence[float]
    up: Sequence[float]

    # Left, top, right and bottom, in units of a panel: pixels at its usual size.
    area: ClassVar = (40.0, 8.0, 330.0, 124.0)

    def at(self, point: Point) -> Point:
        """Return where a point of the data lies in the panel."""
        left, top, right, bottom = self.area
        x = (point[0] - self.across[0]) / (self.across[-1] - self.across[0])
        y = (point[1] - self.up[0]) / (self.up[-1] - self.up[0])
        return left + (right - left) * x, bottom - (bottom - top) * y


def chart(macro: str, ident: str, *values: object) -> Markup:
    """Return what a macro of ``_charts.html.j2`` draws; its ``ident`` is unique in the page."""
    return _charts()[macro](ident, *values)


@cache
def _charts() -> Mapping[str, Callable[..., Markup]]:
    return vars(environment().get_template("_charts.html.j2").module)


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
