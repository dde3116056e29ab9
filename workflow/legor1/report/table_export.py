"""The results table for other documents: CSV, JSON, Markdown and LaTeX (booktabs)."""

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from legor1.core.files import write_text
from legor1.core.format import percent, points
from legor1.report.publishable import publishable
from legor1.report.sections import result_tables
from legor1.report.study import Score, Study, published
from legor1.tasks.discovery import METRICS

COLUMNS = (
    "source", "model", "adaptation", "protocol", "task", "metric", "value", "low", "high", "n",
    "difference", "difference_low", "difference_high", "verdict",
)  # fmt: skip
FORMULA = tuple("=+-@\t\r")
MARKS = {"best": "★ ", "ahead": "☆ ", "": ""}
LEGEND = (
    "Percent. Below a value its interval, then the paired difference from {}, in points. "
    "★ clearly the best; ☆ ahead, not clearly. Published figures come from another evaluation."
)
# A table that is wider than the text is scaled down to it.
NO_WIDER = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}"
# What LaTeX reads as its own, and what its fonts lack.
LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\^{}", "~": r"\~{}", "−": "$-$", "–": "--",
    "★": r"$\star$", "☆": r"$\circ$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
}  # fmt: skip

Lines = list[str]  # of one cell
Grid = tuple[list[str], list[tuple[str, list[list[Lines]]]]]  # headings; task → rows → cells


def write(study: Study, folder: Path) -> None:
    """Write ``results.csv``, ``.json``, ``.md`` and ``.tex`` into ``folder``."""
    rows = records(study)
    made = {"csv": _csv(rows), "md": markdown(study), "tex": latex(study)}
    made["json"] = json.dumps(rows, indent=2, ensure_ascii=False) + "\n"
    for kind, text in made.items():
        write_text(folder / f"results.{kind}", publishable(text))


def records(study: Study) -> list[dict[str, Any]]:
    """Return one row a number, with the keys ``COLUMNS``: fractions, None where there is none."""
    rows = []
    for protocol in study.protocols:
        for block in result_tables.results(study, protocol):
            for row in block.rows:
                known = {"protocol": protocol, "task": block.task, "metric": row.metric.name}
                for cell in row.cells:
                    own: dict[str, Any] = {"source": "this run", "model": cell.experiment.name}
                    own |= {"adaptation": cell.experiment.method, "verdict": cell.verdict or None}
                    rows.append(known | own | _ends(cell.score) | _ends(cell.difference, True))
                for name, score in result_tables.free_scores(study, protocol, row.metric):
                    rows.append(known | {"source": "no model", "model": name} | _ends(score))
    return [dict.fromkeys(COLUMNS) | row for row in rows + _published()]


def _ends(score: Score | None, difference: bool = False) -> dict[str, Any]:
    if score is None:
        return {}
    names = [*COLUMNS[10:13]] if difference else ["value", "low", "high"]
    values = (score.value, score.low, score.high)
    found = {name: x if math.isfinite(x) else None for name, x in zip(names, values, strict=True)}
    return found if difference else found | {"n": score.n}


def _published() -> list[dict[str, Any]]:
    return [
        {name: row[name] for name in ("source", "model", "adaptation")}
        | {"protocol": "published", "task": one.task, "metric": one.name}
        | {"value": round(float(row[one.column]) / 100, 6)}
        for row in published()
        for one in METRICS
        if row.get(one.column)
    ]


def _csv(rows: list[dict[str, Any]]) -> str:
    safe = [{key: _no_formula(value) for key, value in row.items()} for row in rows]
    frame = pd.DataFrame(safe, columns=COLUMNS, dtype=object)
    return frame.to_csv(index=False, lineterminator="\n")


def _no_formula(value: Any) -> Any:
    """Return a cell that no spreadsheet computes: a text that starts like a formula is quoted."""
    return f"'{value}" if isinstance(value, str) and value[:1] in FORMULA else value


def grid(study: Study, protocol: str) -> Grid:
    """Return the table of one protocol as headings, and each task's rows of cells."""
    thesis = [
        f"Thesis, {result_tables.ADAPTATIONS[row['adaptation']]}" for row in result_tables.thesis()
    ]
    headings = ["Metric", *(one.name for one in study.experiments), "No model", *thesis]
    blocks = []
    for block in result_tables.results(study, protocol):
        title = f"{block.title} ({block.task}, n = {' or '.join(block.counts)})"
        blocks.append((title, [_cells(row) for row in block.rows]))
    return headings, blocks


def _cells(row: result_tables.Row) -> list[Lines]:
    arrow = "↑" if row.metric.higher else "↓"
    free = [percent(row.free[1].value), row.free[0]] if row.free else ["–"]
    return [
        [f"{row.metric.label} {arrow}"],
        *([*_cell(cell)] for cell in row.cells),
        free,
        *([text or "–"] for text in row.thesis),
    ]


def _cell(cell: result_tables.Cell) -> Iterable[str]:
    if cell.score is None:
        yield "–"
        return
    yield MARKS[cell.mark] + percent(cell.score.value)
    if cell.score.bounded:
        yield f"{percent(cell.score.low)}–{percent(cell.score.high)}"
    if cell.repeated:
        yield "other seeds: " + ", ".join(percent(score.value) for score in cell.repeated)
    if (one := cell.difference) is not None:
        yield f"{cell.verdict} {points(one.value)} ({points(one.low)} to {points(one.high)})"


def markdown(study: Study) -> str:
    """Return the table of each protocol, and the LEGO-ARTA paper's, in Markdown."""
    parts = []
    for protocol in study.protocols:
        headings, blocks = grid(study, protocol)
        texts = []
        for title, rows in blocks:
            texts.append([f"**{_markdown(title)}**", *("" for _ in headings[1:])])
            texts += [["<br>".join(map(_markdown, cell)) for cell in row] for row in rows]
        parts += [f"## Protocol {_markdown(protocol)}"]
        parts += [_pipes([_markdown(one) for one in headings], texts)]
        parts.append(LEGEND.format(_markdown(study.baseline.name)))
    parts += ["## The LEGO-ARTA paper, as published", _pipes(*result_tables.paper())]
    return "\n\n".join(parts) + "\n"


def _pipes(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---", *("--:" for _ in headings[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _markdown(text: str) -> str:
    escaped = re.sub(r"([\\`*_\[\]|~])", r"\\\1", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;")


def latex(study: Study) -> str:
    """Return the same as LaTeX tables, which need ``\\usepackage{booktabs,graphicx}``."""
    parts = ["% Needs \\usepackage{booktabs,graphicx}."]
    for protocol in study.protocols:
        headings, blocks = grid(study, protocol)
        body: list[str] = []
        for title, rows in blocks:
            across = f"\\multicolumn{{{len(headings)}}}{{l}}{{\\itshape {_latex(title)}}} \\\\"
            body += ["\\midrule", across, *(line for row in rows for line in _sublines(row))]
        caption = f"Protocol {protocol}. {LEGEND.format(study.baseline.name)}"
        parts.append(_tabular(headings, body, caption))
    headings, paper = result_tables.paper()
    cells = [[[text] for text in row] for row in paper]
    body = ["\\midrule", *(line for row in cells for line in _sublines(row))]
    parts.append(_tabular(headings, body, "The LEGO-ARTA paper, as published, percent."))
    return "\n\n".join(parts) + "\n"


def _tabular(headings: list[str], body: list[str], caption: str) -> str:
    columns = "l" + "r" * (len(headings) - 1)
    lines = ["\\begin{table}", "\\centering\\footnotesize", f"\\caption{{{_latex(caption)}}}"]
    lines += [f"{NO_WIDER}{{%", f"\\begin{{tabular}}{{{columns}}}", "\\toprule"]
    lines += [" & ".join(map(_latex, headings)) + " \\\\", *body, "\\bottomrule"]
    return "\n".join([*lines, "\\end{tabular}}", "\\end{table}"])


def _sublines(row: list[Lines]) -> Iterable[str]:
    """Yield a line of LaTeX for each line that the highest cell of a row has."""
    for i in range(max(map(len, row))):
        yield " & ".join(_latex(cell[i]) if i < len(cell) else "" for cell in row) + " \\\\"


def _latex(text: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in " ".join(text.split()))
