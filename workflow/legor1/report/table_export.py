"""The results table for other documents: CSV, JSON, Markdown and LaTeX (booktabs)."""

import json
import math
import re
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from legor1.core.files import write_text
from legor1.report.publishable import environment, publishable
from legor1.report.sections import result_tables
from legor1.report.study import Score, Study, published
from legor1.tasks.baselines import NAMES
from legor1.tasks.discovery import METRICS

COLUMNS = (
    "source", "model", "adaptation", "protocol", "task", "metric", "value", "low", "high", "n",
    "difference", "difference_low", "difference_high", "verdict",
)  # fmt: skip
FORMULA = tuple("=+-@\t\r")
# What has a meaning in LaTeX, and what its fonts lack.
LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\^{}", "~": r"\~{}", "−": "$-$", "–": "--",
    "★": r"$\star$", "↑": r"$\uparrow$", "↓": r"$\downarrow$",
})  # fmt: skip

Number = dict[str, object]  # a row of the CSV and the JSON


def write(study: Study, folder: Path) -> None:
    """Write ``results.csv``, ``.json``, ``.md`` and ``.tex`` into ``folder``."""
    rows = records(study)
    made = {kind: rendered(f"results.{kind}.j2", study) for kind in ("md", "tex")}
    safe = [{name: _no_formula(value) for name, value in row.items()} for row in rows]
    frame = pd.DataFrame(safe, columns=COLUMNS, dtype=object)
    made["csv"] = frame.to_csv(index=False, lineterminator="\n")
    made["json"] = json.dumps(rows, indent=2, ensure_ascii=False) + "\n"
    for kind, text in made.items():
        write_text(folder / f"results.{kind}", publishable(text))


def records(study: Study) -> list[Number]:
    """Return one row a number, with the keys ``COLUMNS``: fractions, None where there is none."""
    rows: list[Number] = []
    for protocol, blocks in result_tables.by_protocol(study).items():
        for task, row in ((block.task, row) for block in blocks for row in block.rows):
            where: Number = {"protocol": protocol, "task": task, "metric": row.metric.name}
            for cell in row.cells:
                own: Number = {"source": "this run", "model": cell.experiment.name}
                own |= {"adaptation": cell.experiment.method, "verdict": cell.verdict or None}
                difference = _numbers(cell.difference, "difference", "difference_")
                rows.append(where | own | _numbers(cell.score) | difference)
            for name, score in study.of_names(protocol, row.metric, NAMES).items():
                rows.append(where | {"source": "no model", "model": name} | _numbers(score))
    for printed in published():
        for metric in METRICS:
            if text := printed.get(metric.column):
                own = {name: printed[name] for name in ("source", "model", "adaptation")}
                where = {"protocol": "published", "task": metric.task, "metric": metric.name}
                rows.append(own | where | {"value": round(float(text) / 100, 6)})
    return [dict.fromkeys(COLUMNS) | row for row in rows]


def _numbers(score: Score | None, value: str = "value", prefix: str = "") -> Number:
    """Return a score's value and interval and, if it is no difference, the number of examples."""
    if score is None:
        return {}
    ends = {value: score.value, f"{prefix}low": score.low, f"{prefix}high": score.high}
    known: Number = {name: x if math.isfinite(x) else None for name, x in ends.items()}
    return known if prefix else known | {"n": score.n}


def _no_formula(value: object) -> object:
    """Return a cell that no spreadsheet computes: a text that starts like a formula is quoted."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def rendered(template: str, study: Study) -> str:
    """Return the table of each protocol, and the LEGO-ARTA paper's, in Markdown or LaTeX."""
    made = environment()
    made.filters |= {"md": lambda t: Markup(_markdown(t)), "tex": lambda t: Markup(_latex(t))}
    thesis = [f"Thesis, {adaptation}" for adaptation in result_tables.thesis_headings()]
    names = [experiment.name for experiment in study.experiments]
    shown = {
        "protocols": {name: result_tables.results(study, name) for name in study.protocols},
        "headings": ["Metric", *names, "No model", *thesis],
        "baseline": study.baseline.name,
        "paper": result_tables.paper(),
    }
    return made.get_template(template).render(shown).rstrip() + "\n"


def _markdown(text: str) -> str:
    escaped = re.sub(r"([\\`*_\[\]|~])", r"\\\1", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;")


def _latex(text: str) -> str:
    return " ".join(text.split()).translate(LATEX)
