"""The README shows a finished demo: each number is the stored table's, and the rest is there."""

import csv
import json
import re
from pathlib import Path

from legor1.tasks.baselines import NAMES
from legor1.tasks.discovery import METRICS, TASKS

ROOT = Path(__file__).parents[3]
KEPT = ROOT / "docs/demo"
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN = re.search(r"<!-- demo: .*?-->\n(.*?)<!-- end of demo -->", README, re.S)[1]


def stored() -> dict[tuple[str, str, str], dict[str, str]]:
    with (KEPT / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["protocol"] == "sound"]
    return {(row["task"], row["metric"], row["experiment"]): row for row in rows}


def said(row: dict[str, str]) -> str:
    value, low, high = (f"{100 * float(row[key]):.1f}" for key in ("value", "low", "high"))
    return f"**{value}** {low}–{high}"


def test_the_numbers_are_those_of_the_stored_table():
    rows = stored()
    lines = [line.split("|")[1:-1] for line in SHOWN.splitlines() if line[:1] == "|"]
    headings, _, *results = [[cell.strip() for cell in line] for line in lines]
    experiments = list(dict.fromkeys(key[2] for key in rows if key[2] not in NAMES))
    assert headings == ["", *experiments, "best without a model"]
    assert len(results) == len(METRICS)
    for one, (label, *cells, best) in zip(METRICS, results, strict=True):
        assert label.startswith(f"{TASKS[one.task].title}: {one.label} ")
        key = (one.task, one.name)
        assert cells == [said(rows[*key, name]) for name in experiments]
        free = [rows[*key, name] for name in NAMES if (*key, name) in rows]
        choose = max if one.higher else min
        assert best == said(choose(free, key=lambda row: float(row["value"])))


def test_the_run_is_named_with_its_commit_and_date():
    made = json.loads((KEPT / "made.json").read_text(encoding="utf-8"))
    assert re.fullmatch("[0-9a-f]{40}", made["commit"])
    assert f"{made['date']} by commit {made['commit'][:12]}" in " ".join(SHOWN.split())


def test_the_pictures_are_there_and_small():
    for name in re.findall(r'(?:src|srcset)="([^"]+)"', SHOWN):
        assert 10_000 < (ROOT / name).stat().st_size < 300_000
    assert SHOWN.count("docs/demo/report-") == 2
    assert README.index(SHOWN) < 700  # the README opens with them
