"""How the study came about: which stage took what from which, as the records say."""

from collections.abc import Iterable, Mapping

import networkx as nx
from markupsafe import Markup

from legor1.report import layers, lineage, origins, svg
from legor1.report.cited import Cited, count, duration, pointer
from legor1.report.costs import mib
from legor1.report.figures.chart import Figure
from legor1.report.lineage import EVERY, Step
from legor1.report.study import Study
from legor1.report.svg import tag

WIDTH, HEIGHT, GAP, APART = 94.0, 58.0, 16.0, 14.0  # of a node, and between two
PAGE = "this report"
HEADINGS = [
    "Stage", "Jobs", "Time, total", "Longest", "Peak memory", "Takes from", "Commit", "Device",
]  # fmt: skip
ABOUT = (
    "Each box is a stage that ran, with its jobs and their time together; what it wrote is read "
    "by the next, to the right. A line that a longer way implies is left out; the table has all."
)


def graph(study: Study) -> Figure:
    """Return one panel, none without records, and the stages as a table."""
    stages, edges = lineage.by_stage(study.steps), lineage.edges(study.steps)
    rows = [_row(study, name, steps, edges) for name, steps in stages.items()]
    panels = [("Stages", "", _picture(stages, edges))] if stages else []
    return Figure(panels, HEADINGS, rows, "How it came about", ABOUT)


def _row(study: Study, name: str, steps: list[Step], edges: Iterable[layers.Edge]) -> list[str]:
    times = [step.record["wall_seconds"] for step in steps]
    memory = max(step.record["peak_memory_mib"] for step in steps)
    facts: list[tuple[str, str, float, str]] = [
        ("stage", count(len(steps)), len(steps), "jobs"),
        ("wall_seconds", duration(sum(times)), sum(times), "sum"),
        ("wall_seconds", duration(max(times)), max(times), "greatest"),
        ("peak_memory_mib", mib(memory), memory, "greatest"),
    ]
    cited = [Cited(text, n, pointer(EVERY, key), f"{how} of {name}") for key, text, n, how in facts]
    takes = ", ".join(sorted(one for one, other in edges if other == name)) or "–"
    return [name, *cited, takes, origins.commits(steps), origins.devices(steps)]


def _picture(stages: Mapping[str, list[Step]], edges: set[layers.Edge]) -> Markup:
    onward = layers.without_circles(sorted(edges))
    ends = {(name, PAGE) for name in stages if not any(one == name for one, _ in onward)}
    shown = {*nx.transitive_reduction(nx.DiGraph([*onward, *ends])).edges}
    layout = layers.arrange([*stages, PAGE], shown)
    columns = max(column for column, _ in layout.places.values()) + 1
    rows = [row for path in layout.paths.values() for _, row in path]
    top, bottom = min(rows), max(rows)

    def at(place: tuple[int, float]) -> tuple[float, float]:
        column, row = place
        return 1 + column * (WIDTH + GAP), 1 + (row - top) * (HEIGHT + APART)

    drawn = [_line([at(place) for place in path]) for path in layout.paths.values()]
    drawn += [_node(name, stages.get(name, []), at(layout.places[name])) for name in layout.places]
    size = columns * (WIDTH + GAP) - GAP + 2, (bottom - top) * (HEIGHT + APART) + HEIGHT + 2
    said = "; ".join(f"{one} → {other}" for one, other in sorted(shown))
    title = "The stages, and which takes from which"
    return svg.picture("stages", size, title, said, *drawn, kind="chart stages")


def _line(points: list[tuple[float, float]]) -> Markup:
    """Return a line from the right of a box to the left of another, flat where it passes others."""
    x, y = points[0][0] + WIDTH, points[0][1] + HEIGHT / 2
    steps = [f"M{svg.number(x)} {svg.number(y)}"]
    for left, upper in points[1:]:
        to, middle = upper + HEIGHT / 2, (x + left) / 2
        curve = (middle, y, middle, to, left, to)
        steps.append("C" + " ".join(map(svg.number, curve)))
        steps.append(f"H{svg.number(left + WIDTH)}")
        x, y = left + WIDTH, to
    return tag("path", d="".join(steps[:-1]), class_="flow")


def _node(name: str, steps: list[Step], at: tuple[float, float]) -> Markup:
    x, y = at
    middle = x + WIDTH / 2
    words: list[str] = [tag("tspan", name, class_="strong")]
    if steps:
        seconds = sum(step.record["wall_seconds"] for step in steps)
        words += [f"{len(steps)} job{'s' if len(steps) > 1 else ''}", duration(seconds)]
    first = y + HEIGHT / 2 + 4 - 15 * (len(words) - 1) / 2
    texts = [
        tag("text", word, x=middle, y=first + 15 * i, class_="middle")
        for i, word in enumerate(words)
    ]
    kind = "stage" if steps else "stage last"
    return tag("g", tag("rect", x=x, y=y, width=WIDTH, height=HEIGHT, rx=8, class_=kind), *texts)
