"""How the study came about: which stage took what from which, as the records say."""

from collections.abc import Iterable, Mapping

import networkx as nx
from markupsafe import Markup

from legor1.core.format import count, duration
from legor1.report import provenance_graph, svg
from legor1.report.citation import Cited, pointer
from legor1.report.figures.chart import Figure
from legor1.report.provenance_graph import EVERY, Step
from legor1.report.sections import provenance_view
from legor1.report.sections.costs import mib
from legor1.report.study import Study
from legor1.report.svg import tag

Edge = tuple[str, str]

WIDTH, HEIGHT, APART = 250.0, 26.0, 8.0  # of a box, and between two
REACH = 9.0  # that a line bends away from the boxes, for each that it passes
PAGE = "this report"
HEADINGS = [
    "Stage", "Jobs", "Time, total", "Longest", "Peak memory", "Takes from", "Commit", "Device",
]  # fmt: skip
ABOUT = (
    "Each box is a stage that ran, with its jobs and their time together; a line leads down to "
    "the stage that reads what it wrote. One that a longer way implies is left out; the table has "
    "all."
)


def graph(study: Study) -> Figure:
    """Return one panel, none without records, and the stages as a table."""
    stages, edges = provenance_graph.by_stage(study.steps), provenance_graph.edges(study.steps)
    rows = [_row(study, name, steps, edges) for name, steps in stages.items()]
    panels = [("Stages", "", _picture(stages, edges))] if stages else []
    return Figure(panels, HEADINGS, rows, "How it came about", ABOUT)


def _row(study: Study, name: str, steps: list[Step], edges: Iterable[Edge]) -> list[str]:
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
    return [name, *cited, takes, provenance_view.commits(steps), provenance_view.devices(steps)]


def without_circles(edges: Iterable[Edge]) -> nx.DiGraph:
    """Return the edges but for those that would close a circle with the ones before them."""
    kept = nx.DiGraph()
    for one, other in edges:
        kept.add_nodes_from((one, other))
        if not nx.has_path(kept, other, one):
            kept.add_edge(one, other)
    return kept


def _picture(stages: Mapping[str, list[Step]], edges: set[Edge]) -> Markup:
    """Return the stages in a column, each below all that it follows, and lines beside them."""
    onward = without_circles(sorted(edges))
    onward.add_nodes_from(stages)
    onward.add_edges_from([(name, PAGE) for name in stages if not onward[name]])
    began = {name: at for at, name in enumerate((*stages, PAGE))}
    order = [*nx.lexicographical_topological_sort(onward, began.__getitem__)]
    top = {name: 1 + i * (HEIGHT + APART) for i, name in enumerate(order)}
    shown = sorted(nx.transitive_reduction(onward).edges)
    drawn = [_line(top[one], top[other]) for one, other in shown]
    drawn += [_box(name, stages.get(name, []), top[name]) for name in order]
    size = WIDTH + REACH * len(order), len(order) * (HEIGHT + APART) - APART + 2
    said = "; ".join(f"{one} → {other}" for one, other in shown)
    title = "The stages, and which takes from which"
    return svg.picture("stages", size, title, said, *drawn, kind="chart stages")


def _line(start: float, end: float) -> Markup:
    """Return a line from one box down to another, bent around those between."""
    upper, lower = start + HEIGHT * 0.7, end + HEIGHT * 0.3
    bent = WIDTH + REACH * (end - start) / (HEIGHT + APART)
    curve = map(svg.number, (bent, upper, bent, lower, WIDTH, lower))
    return tag(
        "path", d=f"M{svg.number(WIDTH)} {svg.number(upper)}C{' '.join(curve)}", class_="flow"
    )


def _box(name: str, steps: list[Step], y: float) -> Markup:
    drawn = [tag("text", name, x=9, y=y + 17, class_="strong")]
    if steps:
        seconds = sum(step.record["wall_seconds"] for step in steps)
        took = f"{len(steps)} job{'s' if len(steps) > 1 else ''}, {duration(seconds)}"
        drawn.append(tag("text", took, x=WIDTH - 8, y=y + 17, class_="end"))
    kind = "stage" if steps else "stage last"
    return tag(
        "g", tag("rect", x=1, y=y, width=WIDTH - 1, height=HEIGHT, rx=6, class_=kind), *drawn
    )
