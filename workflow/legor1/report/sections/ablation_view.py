"""What an ablation found: sentences made from its numbers, figures, tables, and what is inert."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from legor1.core.format import percent, points
from legor1.core.layout import IN_RUN
from legor1.evaluation.resampling import significant
from legor1.report.citation import Cited, Record, cite, total
from legor1.report.study import published
from legor1.report.svg import nice_ticks
from legor1.tasks.discovery import metric
from legor1.tasks.task import Shown

FILE = IN_RUN.ablation_effects
LEFT, RIGHT = 8.0, 332.0  # of a panel's axis
TICKS = 5
NAMED = 2  # defects that a sentence names
STEPS = 5  # defects that a waterfall shows one by one
HOW = {"sound": "on alone", "thesis": "off alone"}
ADAPTATION = {"sft": "sft", "grpo": "grpo"}  # by method, in published_results.csv; against few_shot


@dataclass(frozen=True)
class Effect:
    """What one variant moves one metric by; ``keys`` lead to its numbers."""

    content: Record
    facts: Record
    shown: Shown
    numbers: Record  # by name: fractions, None where there is none
    keys: tuple[str | int, ...]

    @property
    def size(self) -> float:
        """The effect, 0 where it has none."""
        return self.numbers["effect"] or 0.0

    @property
    def off(self) -> bool:
        """Tell whether the defect is off where all others are on, not on where there is none."""
        return bool(self.facts["around"] == "thesis")

    @property
    def clear(self) -> bool:
        """Tell whether the interval leaves out zero and the adjusted p is small enough."""
        low, high = self.numbers["low"], self.numbers["high"]
        apart = low is not None and high is not None and not low <= 0 <= high
        return apart and significant(self.numbers["p_holm"], self.content["confidence"])

    def cited(self, name: str, write: Callable[[float | None], str] = points) -> Cited:
        """Return one of the numbers."""
        return cite(FILE, self.content, *self.keys, name, write=write)


Pair = tuple[Effect | None, Effect | None]  # of one defect, on alone and off alone
Ends = tuple[Cited, Cited]  # a metric without a defect, and with all


def experiments(content: Record) -> dict[str, str]:
    """Return the experiments that were varied → their methods."""
    return {one["of"]: one["method"] for one in content["variants"].values()}


def effects(content: Record, of: str, name: str | None = None) -> list[Effect]:
    """Return what was measured of an experiment, or of one of its metrics."""
    return [
        Effect(content, facts, metric(task, each), numbers, ("effects", i, "tasks", task, each))
        for i, facts in enumerate(content["effects"])
        for task, metrics in facts["tasks"].items()
        for each, numbers in metrics.items()
        if facts["of"] == of and name in (None, each)
    ]


def answers(content: Record) -> Iterator[tuple[str, Shown, list[Pair], Ends | None]]:
    """Yield of each experiment and task the main metric, what moves it clearly, and its ends.

    First the largest effects of a defect on alone, each with that of the same one off alone, then
    the largest of the others off alone.
    """
    for of in experiments(content):
        for task, name in content["main"].items():
            if task not in content["counts"]:
                continue
            found = sorted((e for e in effects(content, of, name) if e.clear), key=_by_size)
            on = [each for each in found if not each.off][:NAMED]
            off = {each.facts["defect"]: each for each in found if each.off}
            pairs: list[Pair] = [(each, off.pop(each.facts["defect"], None)) for each in on]
            pairs += [(None, each) for each in [*off.values()][:NAMED]]
            shown = metric(task, name)
            yield of, shown, pairs, _ends(content, of, shown)


def _by_size(effect: Effect) -> float:
    return -abs(effect.size)


def _ends(content: Record, of: str, shown: Shown) -> Ends | None:
    """Return a metric without and with all defects; None where either was not measured."""
    ends = []
    for around in HOW:
        name = f"{of}_{around}"
        known = content["variants"].get(name, {}).get("metrics", {}).get(shown.name, {})
        if known.get("value") is None:
            return None
        keys = ("variants", name, "metrics", shown.name, "value")
        ends.append(cite(FILE, content, *keys, write=percent))
    return ends[0], ends[1]


def gap(content: Record, of: str, shown: Shown) -> Cited | None:
    """Return by how much the published figure of an experiment's method exceeds few-shot's."""
    adaptation = ADAPTATION.get(experiments(content)[of])
    own, few = _printed(adaptation, shown), _printed("few_shot", shown)
    return less(own, few) if own and few else None


def less(first: Cited, second: Cited) -> Cited:
    """Return a difference of fractions in points, with both sources."""
    value = first.value - second.value
    source = f"{first.source} + {second.source}"
    return Cited(points(value), value, source, "the first less the second")


@dataclass(frozen=True)
class Panel:
    """A metric's effects by defect, the largest first, the noise of seeds, the published gap."""

    ident: str
    shown: Shown
    rows: dict[str, list[Effect]]
    ticks: list[float]
    noise: Cited | None
    gap: Cited | None


def panels(content: Record, of: str) -> list[Panel]:
    """Return a panel for each metric that a defect could have moved."""
    found = effects(content, of)
    shown = {each.shown.name: each.shown for each in found}
    return [
        _panel(content, of, metric, f"effect-{list(experiments(content)).index(of)}-{index}")
        for index, metric in enumerate(shown.values())
    ]


def _panel(content: Record, of: str, shown: Shown, ident: str) -> Panel:
    found = [e for e in effects(content, of, shown.name) if e.numbers["effect"] is not None]
    rows: dict[str, list[Effect]] = {}
    for each in found:
        rows.setdefault(each.facts["defect"], []).append(each)
    ordered = sorted(rows.items(), key=lambda row: min(map(_by_size, row[1])))
    keys = ("noise", of, shown.name, "half_width")
    known = shown.name in content["noise"].get(of, {})
    noise = cite(FILE, content, *keys, write=percent) if known else None
    line = gap(content, of, shown)
    ends = [each.numbers[name] for each in found for name in ("effect", "low", "high")]
    reached = [0.0, line.value if line else 0.0, *(end for end in ends if end is not None)]
    ticks = nice_ticks(min(reached), max(reached), TICKS)
    return Panel(ident, shown, dict(ordered), ticks, noise, line)


@dataclass(frozen=True)
class Step:
    """A step of a waterfall: what it is, from where to where, as fractions."""

    label: str
    change: Cited | None  # None for a state, which is reached by what comes before it
    reached: Cited
    start: float


def waterfall(content: Record, of: str, shown: Shown) -> list[Step]:
    """Return the steps from sound to published, which add up; none without both parents.

    The largest effects of a defect alone come one by one, then the others together, then what the
    defects do only together, and at last what is not theirs: another model, data and scale.
    """
    ends = _ends(content, of, shown)
    if ends is None:
        return []
    alone = [each for each in effects(content, of, shown.name) if not each.off]
    alone.sort(key=_by_size)
    changes = [(each.facts["defect"], each.cited("effect")) for each in alone[:STEPS] if each.size]
    if rest := [each.cited("effect") for each in alone[STEPS:] if each.size]:
        changes.append(("all others, each alone", total(rest, points)))
    reached = ends[0]
    steps = [Step("no defect", None, reached, 0.0)]
    for label, change in changes:
        before, reached = reached, total([reached, change], percent)
        steps.append(Step(label, change, reached, before.value))
    printed = _printed(ADAPTATION.get(experiments(content)[of], "few_shot"), shown)
    for label, state, end in (
        ("what they do only together", "all defects", ends[1]),
        ("not theirs: model, data, scale", "as published", printed),
    ):
        if end is not None:
            steps.append(Step(label, less(end, reached), end, reached.value))
            steps.append(Step(state, None, end, 0.0))
            reached = end
    return steps


def _printed(adaptation: str | None, shown: Shown) -> Cited | None:
    """Return a figure of the thesis as a fraction."""
    for row in published():
        text, own = row.get(shown.column), (row["source"], row["adaptation"])
        if own == ("thesis", adaptation) and isinstance(text, Cited):
            value = float(text) / 100
            return Cited(percent(value), value, text.source, "a hundredth")
    return None


def across(ticks: list[float], value: float) -> float:
    """Return where a value lies on the axis with these ticks, or the nearer end of it."""
    at = LEFT + (RIGHT - LEFT) * (value - ticks[0]) / (ticks[-1] - ticks[0])
    return min(max(at, LEFT), RIGHT)


def inert(content: Record) -> list[list[str]]:
    """Return what changes nothing, and why: the same reason of both sides in one row."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for one in content["effects"]:
        if one["inert"]:
            rows.setdefault((one["defect"], one["of"], one["inert"]), []).append(HOW[one["around"]])
    return [[defect, of, " and ".join(how), why] for (defect, of, why), how in rows.items()]
