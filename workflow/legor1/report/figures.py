"""Figures as inline SVG with the table of their data: intervals, and training curves."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from legor1.report import svg
from legor1.report.study import Experiment, Record, Score, Study
from legor1.report.svg import tag
from legor1.report.tables import METRICS, Metric, percent

WIDTH = 340  # units of a panel, which are pixels at its usual size
ROW = 42  # height of one experiment in an interval panel
MARGIN = 8  # room for half a marker and half a tick's label
PLOT = (40.0, 8.0, 330.0, 124.0)  # left, top, right and bottom of a curve's axes
CURVES = {
    "loss": "Loss",
    "reward": "Reward, weighted sum",
    "kl": "KL divergence from the base model",
    "completions/mean_length": "Completion length, tokens",
    "entropy": "Entropy",
}
REWARD = "rewards/"
FEW = 24  # a curve of so few points needs no smoothing

Point = tuple[float, float]
Points = list[Point]


@dataclass(frozen=True)
class Figure:
    """One or more panels, and the data they show."""

    panels: list[tuple[str, str, Markup]]  # heading, what it says in small print, picture
    headings: list[str]
    rows: list[list[str]]


def intervals(
    study: Study, protocol: str, prefix: str, metrics: Sequence[Metric] = METRICS
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
            [one.label, e.name, percent(s.value), percent(s.low), percent(s.high), f"{s.n:,}"]
            for e, s in known
        ]
    return Figure(panels, ["Metric", "Experiment", "Value, %", "Low", "High", "Examples"], rows)


def interval_panel(ident: str, label: str, scored: list[tuple[Experiment, Score]]) -> Markup:
    """Return the panel of one metric: an axis from 0, and a marker on a bar an experiment."""
    ends = [100 * x for _, s in scored for x in (s.value, s.high) if math.isfinite(x)]
    ticks = nice_ticks(0, max([*ends, 1]), 5)
    bottom = ROW * len(scored) + 4

    def at(value: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * value / ticks[-1]

    grid = [
        part
        for tick in ticks
        for part in (
            tag("line", x1=at(tick), x2=at(tick), y1=0, y2=bottom, class_="grid"),
            tag("text", _short(tick), x=at(tick), y=bottom + 15, class_="tick middle"),
        )
    ]
    lines = [part for i, pair in enumerate(scored) for part in _interval(pair, ROW * i, at)]
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
    if math.isfinite(score.low) and math.isfinite(score.high):
        ends = {"x1": at(100 * score.low), "x2": at(100 * score.high)}
        yield tag("line", **ends, y1=y, y2=y, class_=f"bar {svg.colour(experiment.index)}")
    yield svg.marker(experiment.index, at(100 * score.value), y)


def span(score: Score) -> str:
    """Return the interval as text, in percent."""
    if not (math.isfinite(score.low) and math.isfinite(score.high)):
        return "no interval"
    return f"{percent(score.low)}–{percent(score.high)}"


def curves(study: Study, experiment: Experiment) -> Figure:
    """Return one panel for each logged quantity of an experiment's training that is known here."""
    history, panels = study.trainings[experiment.name].history, []
    titles = _titles({key for row in history for key in row if _has(row, key)})
    for number, (key, title) in enumerate(titles.items()):
        points = logged(history, key)
        last = f"last: {_short(points[-1][1])} at step {_short(points[-1][0])}"
        ident = f"curve-{experiment.index}-{number}"
        panels.append((title, last, line_panel(ident, title, points, experiment)))
    rows = [
        [_short(row["step"]), *(_short(row[key]) if _has(row, key) else "–" for key in titles)]
        for row in history
        if any(_has(row, key) for key in titles)
    ]
    return Figure(panels, ["Step", *titles.values()], rows)


def _titles(logged: set[str]) -> dict[str, str]:
    """Return the titles of the curves, in order; the parts of the reward follow it."""
    parts = sorted(key for key in logged if key.startswith(REWARD) and not key.endswith("/std"))
    titles = {}
    for key, title in CURVES.items():
        if key in logged:
            titles[key] = title
        if key == "reward":
            names = (part.removeprefix(REWARD).removesuffix("/mean") for part in parts)
            titles |= {part: f"Reward: {name}" for part, name in zip(parts, names, strict=True)}
    return titles


def _has(row: dict, key: str) -> bool:
    values = (row.get("step"), row.get(key))
    return all(isinstance(value, int | float) and math.isfinite(value) for value in values)


def reward_figures(study: Study) -> list[tuple[list[Experiment], Figure]]:
    """Return the reward curves of trainings that differ in their rewards alone, side by side."""
    by_name = {one.name: one for one in study.experiments}
    made = []
    for number, names in enumerate(alike_but_for_rewards(study.config["experiments"])):
        curves = [(by_name[n], logged(study.trainings[n].history, "reward")) for n in names]
        known = [curve for curve in curves if curve[1]]
        if len(known) > 1:
            made.append(([one for one, _ in known], rewards(f"rewards-{number}", known)))
    return made


def alike_but_for_rewards(experiments: Mapping[str, Any]) -> list[list[str]]:
    """Return the groups of GRPO experiments, two or more, whose other settings are the same.

    The thesis's Figure 1 is such a pair.

    Args:
        experiments: the config's block.
    """
    groups = defaultdict(list)
    for name, settings in experiments.items():
        if settings["method"] == "grpo" and "training" in settings:
            training = settings["training"].items()
            others = {key: value for key, value in training if key not in ("suite", "rewards")}
            groups[json.dumps(settings | {"training": others}, sort_keys=True)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def rewards(ident: str, curves: list[tuple[Experiment, Points]]) -> Figure:
    """Return one panel with all curves; its table has the logged values and their running means."""
    title = "Reward, " + " and ".join(one.name for one, _ in curves)
    picture = lines_panel(ident, title, curves)
    headings = ["Step", *(f"{one.name}{what}" for one, _ in curves for what in ("", ", mean"))]
    columns = [dict(points) for _, one in curves for points in (one, running_mean(one))]
    steps = sorted({step for column in columns for step in column})
    rows = [
        [_short(step), *(_short(column[step]) if step in column else "–" for column in columns)]
        for step in steps
    ]
    return Figure([("Reward", "each against its own", picture)], headings, rows)


def logged(history: Iterable[Record], key: str) -> Points:
    """Return a logged quantity by optimiser step, from the rows of a training's history."""
    return [(row["step"], row[key]) for row in history if _has(row, key)]


def line_panel(ident: str, title: str, points: Points, experiment: Experiment) -> Markup:
    """Return the panel of one curve: every logged value faint, their running mean strong."""
    return lines_panel(ident, f"{title}, {experiment.name}", [(experiment, points)])


def lines_panel(ident: str, title: str, curves: list[tuple[Experiment, Points]]) -> Markup:
    """Return a panel of curves on the same axes: logged values faint, running means strong."""
    left, top, right, bottom = PLOT
    xs, ys = ([point[i] for _, points in curves for point in points] for i in (0, 1))
    low = 0.0 if 0 <= min(ys) < max(ys) else min(ys)
    last = math.ceil(max(*xs, 1))
    across, up = nice_ticks(0, last, min(4, last)), nice_ticks(low, max(ys), 4)

    def at(point: Point) -> Point:
        x = left + (right - left) * point[0] / across[-1]
        return x, bottom - (bottom - top) * (point[1] - up[0]) / (up[-1] - up[0])

    drawn, said = [*_axes(across, up, at)], []
    for experiment, points in curves:
        shade, mean = svg.colour(experiment.index), running_mean(points)
        if mean != points:
            drawn.append(_path(map(at, points), f"curve faint {shade}"))
        drawn.append(_path(map(at, mean), f"curve {shade}"))
        drawn.append(svg.marker(experiment.index, *at(mean[-1]), radius=4))
        first, end = _short(points[0][1]), _short(points[-1][1])
        whose = f"{experiment.name}: from" if len(curves) > 1 else "From"
        said.append(f"{whose} {first} to {end} over {len(points)} logged steps.")
    size = (WIDTH, bottom + 34)
    return svg.picture(ident, size, title, " ".join(said), *drawn, kind="chart")


def _axes(across: list[float], up: list[float], at: Callable[[Point], Point]) -> Iterable[Markup]:
    left, _, right, bottom = PLOT
    for tick in up:
        y = at((0, tick))[1]
        yield tag("line", x1=left, x2=right, y1=y, y2=y, class_="grid")
        yield tag("text", _short(tick), x=left - 6, y=y + 4, class_="tick end")
    for tick in across:
        yield tag("text", _short(tick), x=at((tick, 0))[0], y=bottom + 15, class_="tick middle")
    yield tag("text", "optimiser step", x=right, y=bottom + 29, class_="tick end")


def _path(points: Iterable[Point], kind: str) -> Markup:
    text = " ".join(f"{svg.number(x)},{svg.number(y)}" for x, y in points)
    return tag("polyline", points=text, class_=kind)


def running_mean(points: Points) -> Points:
    """Return each point's mean over itself and its neighbours, a twelfth of all points."""
    if len(points) <= FEW:
        return points
    reach, ys = len(points) // 24, [y for _, y in points]
    near = [ys[max(0, i - reach) : i + reach + 1] for i in range(len(ys))]
    return [(x, sum(group) / len(group)) for (x, _), group in zip(points, near, strict=True)]


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


def _short(value: float) -> str:
    """Return a number with at most four significant digits and a true minus sign."""
    return f"{value:.4g}".replace("-", "−")
