"""Training curves: what each training logged; rewards side by side, the thesis's Figure 1."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial

from markupsafe import Markup

from legor1.core.format import short
from legor1.core.layout import IN_RUN
from legor1.report import svg
from legor1.report.citation import Cited, Record, cite, pointer
from legor1.report.study import Experiment, Study, Training
from legor1.report.svg import Axes, Figure, Points, nice_ticks

CURVES = {
    "loss": "Loss",
    "reward": "Reward, weighted sum",
    "kl": "KL divergence from the reference model",
    "completions/mean_length": "Completion length, tokens",
    "entropy": "Entropy",
}
REWARD = "rewards/"
FEW = 24  # a curve of so few points needs no smoothing
MOST_ROWS = 100  # of a table; the file has them all


def curves(study: Study, experiment: Experiment) -> Figure:
    """Return one panel for each known quantity that an experiment's training logged."""
    training, panels = study.trainings[experiment.name], []
    history, dashed = training.history, [step.value for step in resumed(experiment, training)]
    titles = _titles({key for row in history for key in row if _has(row, key)})
    cited = partial(cite, training.history_file, history, write=short)
    for number, (key, title) in enumerate(titles.items()):
        ident, drawn = f"curve-{experiment.index}-{number}", [(experiment, logged(history, key))]
        picture = lines_panel(ident, f"{title}, {experiment.name}", drawn, dashed)
        last = max(i for i, row in enumerate(history) if _has(row, key))
        note = Markup("last: {} at step {}").format(cited(last, key), cited(last, "step"))
        panels.append((title, note, picture))
    rows = [
        [cited(i, "step"), *(cited(i, key) if _has(row, key) else "–" for key in titles)]
        for i, row in enumerate(history)
        if any(_has(row, key) for key in titles)
    ]
    return Figure(panels, ["Step", *titles.values()], thinned(rows))


def thinned(rows: list[list[str]]) -> list[list[str]]:
    """Return ``MOST_ROWS`` rows at most, evenly spaced, the first and the last among them."""
    step = max(1, math.ceil((len(rows) - 1) / (MOST_ROWS - 1)))
    return rows[:-1:step] + rows[-1:]


def resumed(experiment: Experiment, training: Training) -> list[Cited]:
    """Return the steps after which a training was interrupted and resumed."""
    if facts := training.facts:
        cited = partial(cite, IN_RUN.training(experiment.name), facts, "resumed")
        return [cited(i) for i in range(len(facts.get("resumed", [])))]
    cited = partial(cite, training.history_file, training.history, write=short)
    return [cited(i, "step") for i, row in enumerate(training.history) if _has(row, "resumed")]


def _titles(keys: set[str]) -> dict[str, str]:
    """Return the titles of the curves, in order; the parts of the reward follow it."""
    parts = sorted(key for key in keys if key.startswith(REWARD) and not key.endswith("/std"))
    titles = {}
    for key, title in CURVES.items():
        if key in keys and not (key == "loss" and "reward" in keys):  # which is noise about 0
            titles[key] = title
        if key == "reward":
            for part in parts:
                titles[part] = f"Reward: {part.removeprefix(REWARD).removesuffix('/mean')}"
    return titles


def _has(row: Record, key: str) -> bool:
    values = (row.get("step"), row.get(key))
    return all(isinstance(value, int | float) and math.isfinite(value) for value in values)


def reward_figures(study: Study) -> list[tuple[list[Experiment], Figure]]:
    """Return the reward curves of trainings that differ in their rewards alone, side by side."""
    by_name = {experiment.name: experiment for experiment in study.experiments}
    made = []
    for number, names in enumerate(alike_but_for_rewards(study.config["experiments"])):
        known = [(by_name[name], study.trainings[name]) for name in names]
        known = [(e, training) for e, training in known if logged(training.history, "reward")]
        if len(known) > 1:
            made.append(([e for e, _ in known], rewards(f"rewards-{number}", known)))
    return made


def alike_but_for_rewards(experiments: Mapping[str, Record]) -> list[list[str]]:
    """Return the groups of GRPO experiments, two or more, whose other settings are the same."""
    groups = defaultdict(list)
    for name, settings in experiments.items():
        if settings["method"] == "grpo" and "training" in settings:
            training = settings["training"].items()
            others = {key: value for key, value in training if key not in ("suite", "rewards")}
            groups[json.dumps(settings | {"training": others}, sort_keys=True)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def rewards(ident: str, trainings: list[tuple[Experiment, Training]]) -> Figure:
    """Return one panel with all curves; its table has the logged values and their running means."""
    names = [experiment.name for experiment, _ in trainings]
    curves = [(experiment, logged(made.history, "reward")) for experiment, made in trainings]
    picture = lines_panel(ident, "Reward, " + " and ".join(names), curves)
    headings = ["Step", *(f"{name}{what}" for name in names for what in ("", ", mean"))]
    rows: dict[float, list[str]] = {}
    for number, (_, training) in enumerate(trainings):
        file, history = training.history_file, training.history
        kept = [i for i, row in enumerate(history) if _has(row, "reward")]
        for i, (step, mean) in zip(kept, running_mean(curves[number][1]), strict=True):
            cited = partial(cite, file, history, i, write=short)
            row = rows.setdefault(step, [cited("step"), *["–"] * (2 * len(names))])
            averaged = Cited(short(mean), mean, pointer(file, i, "reward"), "running mean")
            row[2 * number + 1 : 2 * number + 3] = cited("reward"), averaged
    panel = ("Reward", "each against its own", picture)
    return Figure([panel], headings, thinned([rows[step] for step in sorted(rows)]))


def logged(history: Iterable[Record], key: str) -> Points:
    """Return a logged quantity by optimiser step, from the rows of a training's history."""
    return [(row["step"], row[key]) for row in history if _has(row, key)]


def lines_panel(
    ident: str, title: str, logs: list[tuple[Experiment, Points]], resumed: Iterable[float] = ()
) -> Markup:
    """Return curves on the same axes: logged faint, running means strong, dashed at ``resumed``."""
    xs, ys = ([point[i] for _, points in logs for point in points] for i in (0, 1))
    low = 0.0 if 0 <= min(ys) < max(ys) else min(ys)
    last = math.ceil(max(*xs, 1))
    axes = Axes(nice_ticks(0, last, min(4, last)), nice_ticks(low, max(ys), 4))
    curves, described = [], []
    for experiment, points in logs:
        mean = running_mean(points)
        curves.append((experiment, points if mean != points else [], mean, mean[-1:]))
        first, end = short(points[0][1]), short(points[-1][1])
        whose = f"{experiment.name}: from" if len(logs) > 1 else "From"
        described.append(f"{whose} {first} to {end} over {len(points)} logged steps.")
    label = "optimiser step"
    return svg.chart("plot", ident, title, " ".join(described), axes, label, curves, resumed)


def running_mean(points: Points) -> Points:
    """Return each point's mean over itself and its neighbours, a twelfth of all points."""
    if len(points) <= FEW:
        return points
    reach, ys = len(points) // 24, [y for _, y in points]
    near = [ys[max(0, i - reach) : i + reach + 1] for i in range(len(ys))]
    return [(x, sum(group) / len(group)) for (x, _), group in zip(points, near, strict=True)]
