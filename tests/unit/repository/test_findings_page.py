"""The numbers of docs/findings.md are those of the stored table of an ablation."""

import csv
import json
import re
from pathlib import Path

import pytest

from legor1.core.format import p_value, percent, points
from legor1.tasks.discovery import METRICS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/findings.md").read_text(encoding="utf-8")
MADE = json.loads((ROOT / "docs/demo/ablation.made.json").read_text(encoding="utf-8"))
LABELS = {metric.label: metric.name for metric in METRICS}
SWITCHED = {"on alone": "sound", "off alone": "thesis"}


def stored() -> list[dict[str, str]]:
    with (ROOT / "docs/demo/ablation.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def said(row: dict[str, str]) -> list[str]:
    """What a line of the page says of a measured effect."""
    without, with_, effect, low, high, p = (
        float(row[key]) if row[key] else None
        for key in ("without", "with", "effect", "low", "high", "p_holm")
    )
    change = f"{percent(without)} → {percent(with_)}"
    return [change, f"{points(effect)} ({points(low)} to {points(high)})", p_value(p)]


def lines() -> list[list[str]]:
    """The cells of the page's tables of effects."""
    table = (line for line in PAGE.splitlines() if re.match(r"\| (few_shot|sft) \|", line))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


@pytest.mark.parametrize("cells", lines(), ids=" ".join)
def test_a_line_has_the_stored_numbers(cells):
    of, defect, switched, label, *numbers = cells
    key = (of, defect.strip("`").replace("` + `", " + "), SWITCHED[switched], LABELS[label])
    found = [r for r in stored() if (r["of"], r["defect"], r["around"], r["metric"]) == key]
    assert [said(row) for row in found] == [numbers]


def test_every_effect_in_the_text_is_a_stored_one():
    known = {effect for row in stored() for effect in said(row)[1:2]}
    known |= {text.replace("(", "[").replace(")", "]") for text in known}
    text = "\n".join(line for line in PAGE.splitlines() if line[:1] != "|")
    effects = re.findall(r"[+−]\d+\.\d\s[(\[][+−]?\d+\.\d\sto\s[+−]?\d+\.\d[)\]]", text)
    assert len(effects) >= 5
    assert {" ".join(effect.split()) for effect in effects} <= known


def test_the_run_is_named_with_its_commit_and_size():
    rows = stored()
    tested = {row["task"]: (int(row["n"]), int(row["manuals"])) for row in rows if row["n"]}
    assert re.fullmatch("[0-9a-f]{40}", MADE["commit"]) and MADE["commit"][:12] in PAGE
    for count, _ in tested.values():
        assert str(count) in PAGE
    seeds = max(int(row["seeds"]) for row in rows if row["seeds"])
    *others, last = MADE["seeds"]
    assert f"seeds {', '.join(map(str, others))} and {last}" in " ".join(PAGE.split())
    assert len(MADE["seeds"]) == seeds
