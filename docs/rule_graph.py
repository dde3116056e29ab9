"""Draw docs/rules.svg, the graph of the rules, from what Snakemake says of the demo.

Indirect links and ``all`` are omitted. A link between two trainings is dashed, since not every one
needs it. ``PLACES`` says where a rule stands and what it makes; a rule without a place is an error,
so that a new one is drawn too.
"""

import re
import subprocess
import sys
from html import escape
from pathlib import Path
from typing import NamedTuple

import networkx as nx

ROOT = Path(__file__).parents[1]
SVG = Path(__file__).with_name("rules.svg")
STEP, BOX, MARGIN = (190, 74), (166, 44), 14  # pixels: from box to box, a box, around all


class Place(NamedTuple):
    """Where a rule stands, in boxes, and what it makes."""

    column: int
    row: int
    stage: str
    makes: str


PLACES = {
    "fetch_dataset": Place(0, 0, "data", "dataset tree"),
    "index_dataset": Place(1, 0, "data", "instances.parquet"),
    "fingerprint_images": Place(2, 0, "data", "images.parquet"),
    "split_dataset": Place(3, 0, "data", "split.json"),
    "fetch_base": Place(0, 1, "data", "base model"),
    "convert_dataset": Place(2, 1, "data", "conversations"),
    "audit_dataset": Place(3, 1, "data", "audit.json"),
    "train_sft": Place(0, 2, "model", "LoRA adapter"),
    "train_grpo": Place(1, 2, "model", "LoRA adapter"),
    "answer_without_model": Place(2, 2, "model", "baselines"),
    "probe_rewards": Place(4, 2, "model", "rewards/*.json"),
    "predict_shard": Place(0, 3, "model", "answers, in parts"),
    "gather_predictions": Place(1, 3, "model", "predictions.jsonl"),
    "score_predictions": Place(2, 3, "result", "scores.json"),
    "compile_table": Place(1, 4, "result", "table.csv"),
    "compare_experiments": Place(2, 4, "result", "comparison.json"),
    "render_report": Place(3, 5, "result", "report.html, gallery.html"),
}
STYLE = """\
  .page { fill: #ffffff } rect { stroke-width: 1.5 } text { text-anchor: middle }
  text { font: 12px system-ui, sans-serif; fill: #1f2328 } .makes { font-size: 11px; fill: #59636e }
  .data { fill: #fff4cc; stroke: #b58900 } .model { fill: #ddeeff; stroke: #2f6fb5 }
  .result { fill: #dff5e1; stroke: #2e8540 }
  path { fill: none; stroke: #818b98; stroke-width: 1.5 }
  .may { stroke-dasharray: 4 3 }
  marker path { fill: #818b98; stroke: none }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } text { fill: #f0f6fc } .makes { fill: #9198a1 }
    .data { fill: #3a2f0b; stroke: #d4a72c } .model { fill: #12263f; stroke: #58a6ff }
    .result { fill: #12291a; stroke: #3fb950 }
  }"""


def rule_graph() -> nx.DiGraph:
    """Return Snakemake's graph of the demo's rules, without ``all``."""
    command = [Path(sys.executable).with_name("snakemake"), "--rulegraph"]
    command += ["--configfile", "workflow/configs/demo.yaml"]
    text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = dict(re.findall(r'(\d+)\[label = "(\w+)"', text))
    graph = nx.DiGraph((names[a], names[b]) for a, b in re.findall(r"(\d+) -> (\d+)", text))
    graph.remove_node("all")
    return graph


def drawn(graph: nx.DiGraph) -> str:
    """Return the graph as SVG, which follows the reader's light or dark."""
    missing = sorted(set(graph) - set(PLACES))
    if missing:
        sys.exit(
            f"Error: {', '.join(missing)} has no place. Remedy: add it to PLACES in {__file__}."
        )
    links = shown_links(graph)
    width, height = (
        STEP[axis] * max(PLACES[name][axis] for name in graph) + BOX[axis] + 2 * MARGIN
        for axis in range(2)
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            "<title>The rules of the pipeline, and what each makes</title>",
            f"<style>\n{STYLE}\n</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" '
            'markerHeight="6" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>',
            f'<rect class="page" width="{width}" height="{height}" rx="8"/>',
            *(_arrow(PLACES[a], PLACES[b], may) for (a, b), may in sorted(links.items())),
            *(_box(name, PLACES[name]) for name in PLACES if name in graph),
            "</svg>\n",
        ]
    )


def shown_links(graph: nx.DiGraph) -> dict[tuple[str, str], bool]:
    """Return the direct links, and whether each is between rules that make the same.

    Such a link joins only some of their jobs, so no other is indirect for its sake.
    """
    may = [(a, b) for a, b in graph.edges if PLACES[a].makes == PLACES[b].makes]
    always = nx.DiGraph(graph.edges - set(may))
    direct = dict.fromkeys(nx.transitive_reduction(always).edges, False)
    return direct | dict.fromkeys(may, True)


def _centre(place: Place) -> tuple[int, int]:
    x, y = (MARGIN + STEP[axis] * place[axis] + BOX[axis] // 2 for axis in range(2))
    return x, y


def _arrow(source: Place, target: Place, may: bool) -> str:
    """Return a straight line along a row, else a curve from below one box to above the other."""
    (x1, y1), (x2, y2) = _centre(source), _centre(target)
    if source.row == target.row:
        side = BOX[0] // 2 * (1 if x2 > x1 else -1)
        line = f"M{x1 + side} {y1}H{x2 - side}"
    else:
        y1, y2 = y1 + BOX[1] // 2, y2 - BOX[1] // 2
        bend = (STEP[1] - BOX[1]) + 8
        line = f"M{x1} {y1}C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2}"
    kind = ' class="may"' if may else ""
    return f'<path{kind} d="{line}" marker-end="url(#tip)"/>'


def _box(name: str, place: Place) -> str:
    x, y = _centre(place)
    left, top = x - BOX[0] // 2, y - BOX[1] // 2
    return (
        f'<rect class="{place.stage}" x="{left}" y="{top}" width="{BOX[0]}" height="{BOX[1]}" '
        f'rx="6"/><text x="{x}" y="{y - 3}">{name}</text>'
        f'<text class="makes" x="{x}" y="{y + 13}">{escape(place.makes)}</text>'
    )


if __name__ == "__main__":
    SVG.write_text(drawn(rule_graph()), encoding="utf-8")
