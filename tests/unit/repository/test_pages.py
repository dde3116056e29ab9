"""The pages and the figure that follow from the code are as the code has them."""

import csv
import importlib
import json
import re
from itertools import pairwise
from pathlib import Path

import networkx as nx
import pytest

from legor1.evaluation import table
from legor1.evaluation.scoring import PROTOCOLS, Bootstrap, score
from legor1.published.defects import SWITCHES
from legor1.tasks.discovery import TASKS

ROOT = Path(__file__).parents[3]
METRICS = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
ANSWERS = {
    "object": '[{"bbox_2d": [1, 2, 30, 40], "label": "1 red 2x2 brick"}]',
    "grounding": "Put the red brick on top.",
    "state": "Yes.",
    "question": "a red car",
}


@pytest.fixture
def script(monkeypatch):
    """A function that imports a script of docs/."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module


def test_the_page_of_defects_is_up_to_date(script):
    defects = script("defect_table")
    assert defects.PAGE.read_text() == defects.page(), "Remedy: python docs/defect_table.py"
    names = [name for stage in defects.DEFECTS.values() for name in stage]
    assert tuple(defects.DEFECTS["prepare"]) == SWITCHES
    assert re.findall(r"^\| `(\w+)` \|", defects.page(), re.M) == names
    assert f"[{len(names)} defects]" in (ROOT / "README.md").read_text()


def test_the_figure_of_the_rules_is_snakemakes_graph(script):
    rules = script("rule_graph")
    svg = rules.SVG.read_text(encoding="utf-8")
    assert svg == rules.drawn(rules.rule_graph()), "Remedy: python docs/rule_graph.py"
    assert {"train_sft", "score_predictions"} <= set(re.findall(r">(\w+)</text>", svg))
    assert "prefers-color-scheme: dark" in svg


def test_rules_stand_apart_in_the_figure(script):
    places = script("rule_graph").PLACES.values()
    assert len({(place.column, place.row) for place in places}) == len(places)


def test_a_link_between_trainings_hides_no_other(script):
    data, sft, grpo, answers = "convert_dataset", "train_sft", "train_grpo", "predict_shard"
    links = [(data, sft), (data, grpo), (sft, answers), (grpo, answers), (data, answers)]
    shown = script("rule_graph").shown_links(nx.DiGraph([*links, (sft, grpo)]))
    assert shown == dict.fromkeys(links[:-1], False) | {(sft, grpo): True}


def test_a_rule_without_a_place_is_named(script):
    graph = nx.DiGraph([("score_predictions", "sing")])
    with pytest.raises(SystemExit, match=r"Error: sing has no place\. Remedy: "):
        script("rule_graph").drawn(graph)


def rows(section: str) -> list[list[str]]:
    """The rows of a section's table of metrics, cell by cell."""
    text = METRICS.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in lines]


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def defined(protocol: str, task: str) -> list[str]:
    """The metrics of a task that the page defines."""
    if protocol == "thesis":
        lines = [row for row in rows("Under the protocol thesis") if row[-1] == task]
    else:
        lines = rows(f"{TASKS[task].title}: {task}")
    return [name for row in lines for name in names(row[0])]


def scored(protocol: str, tmp_path: Path) -> set[tuple[str, str]]:
    """The (task, metric) of a ``table.csv``, made of one answer to each task."""
    answers = [
        {"instance_id": name, "task": name, "prediction": text, "reference": text}
        for name, text in ANSWERS.items()
    ]
    scores, _ = score(answers, protocol=protocol, settings=Bootstrap(1))
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    return {(row[2], row[3]) for row in table.rows("any", tmp_path / "scores.json")}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_metric_is_defined_and_no_other(protocol, tmp_path):
    of_table = scored(protocol, tmp_path)
    for task, scoring in PROTOCOLS[protocol].items():
        registered = {name for of, name in of_table if of == task}
        assert set(scoring.metrics) <= registered
        page = defined(protocol, task)
        assert sorted(page) == sorted(registered), (
            "Remedy: a row of docs/metrics.md for each metric"
        )


def test_every_metric_has_a_formula_and_a_file_that_computes_it():
    for task in TASKS.values():
        for _, formula, limits, better, file in rows(f"{task.title}: {task.name}"):
            assert len(formula) > 10 and re.fullmatch("(0|−1) to 1", limits) and better in "↑↓"
            assert (ROOT / "workflow/legor1" / file.strip("`")).is_file()


def test_the_page_says_which_way_is_better():
    shown = {(task.name, m.name): m.higher for task in TASKS.values() for m in task.shown}
    for task in TASKS.values():
        for cell, *_, better, _ in rows(f"{task.title}: {task.name}"):
            for name in names(cell):
                assert shown.get((task.name, name), better == "↑") is (better == "↑")


def test_the_demos_numbers_lie_in_the_ranges():
    with (ROOT / "docs/demo/table.csv").open(encoding="utf-8", newline="") as file:
        known = [row for row in csv.DictReader(file) if row["protocol"] == "sound" and row["value"]]
    for task in TASKS.values():
        for cell, _, limits, *_ in rows(f"{task.title}: {task.name}"):
            low = -1 if limits.startswith("−") else 0
            of = [r for r in known if r["task"] == task.name and r["metric"] in names(cell)]
            assert all(low <= float(row["value"]) <= 1 for row in of)


def test_the_badges_say_what_the_package_needs():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    badges = re.findall(r"!\[([^\]]+)\]\((https://img\.shields\.io/badge/[^)]+)\)", readme)
    licence, python, snakemake = (text for text, _ in badges)
    assert f'license = "{licence.removeprefix("Licence: ")}"' in project
    oldest, newest = python.removeprefix("Python ").split(" to ")
    major, minor = newest.split(".")
    assert f'requires-python = ">={oldest},<{major}.{int(minor) + 1}"' in project
    assert f'"snakemake~={snakemake.removeprefix("Snakemake ")}.' in project


def test_the_sections_of_the_readme_come_in_order():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    parts = ["badge/", "docs/demo/card-", "- **", "## Quickstart", "docs/rules.svg", "## The full"]
    places = [readme.index(part) for part in [*parts, "## Status", "## Licence"]]
    assert all(a < b for a, b in pairwise(places))
    words = [line for line in readme.splitlines() if not line.startswith(("|", "!", "<", "  <"))]
    assert len(" ".join(words).split()) <= 550
