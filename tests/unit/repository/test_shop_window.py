"""The docs show a finished demo: each number is the stored table's, and the rest is there."""

import csv
import importlib
import json
import re
import shutil
from pathlib import Path

import pytest

from legor1.core.errors import UserError
from legor1.tasks.baselines import NAMES
from legor1.tasks.discovery import METRICS, TASKS, main_metric

ROOT = Path(__file__).parents[3]
KEPT = ROOT / "docs/demo"
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs/results.md").read_text(encoding="utf-8")
SHOWN = re.search(r"<!-- demo: .*?-->\n(.*?)<!-- end of demo -->", README, re.S)[1]
MADE = json.loads((KEPT / "made.json").read_text(encoding="utf-8"))


def stored() -> dict[tuple[str, str, str], dict[str, str]]:
    with (KEPT / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["protocol"] == "sound"]
    return {(row["task"], row["metric"], row["experiment"]): row for row in rows}


def said(row: dict[str, str]) -> str:
    value, low, high = (f"{100 * float(row[key]):.1f}" for key in ("value", "low", "high"))
    return f"**{value}** {low}–{high}"


def measured(metrics) -> list:
    """The metrics that the stored table has: it may be older than the newest of them."""
    known = {key[:2] for key in stored()}
    return [metric for metric in metrics if (metric.task, metric.name) in known]


def of_one_seed(names) -> list[str]:
    return [name for name in names if name not in NAMES and "_seed" not in name]


MAIN, ALL = measured(map(main_metric, TASKS)), measured(METRICS)


def best_without_a_model(metric) -> dict[str, str]:
    rows, key = stored(), (metric.task, metric.name)
    free = [rows[*key, name] for name in NAMES if (*key, name) in rows]
    return (max if metric.higher else min)(free, key=lambda row: float(row["value"]))


@pytest.fixture
def window(monkeypatch, tmp_path):
    """The script that keeps a demo, which keeps it in a folder of the test's own."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    script = importlib.import_module("shop_window")
    shutil.copytree(KEPT, tmp_path / "demo")
    for name, text in (("README.md", README), ("results.md", RESULTS)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(script, "KEPT", tmp_path / "demo")
    monkeypatch.setattr(script, "README", tmp_path / "README.md")
    monkeypatch.setattr(script, "RESULTS", tmp_path / "results.md")
    return script


@pytest.mark.parametrize(("text", "metrics"), [(SHOWN, MAIN), (RESULTS, ALL)])
def test_the_numbers_are_those_of_the_stored_table(text, metrics):
    rows = stored()
    text = text.partition("## Other training seeds")[0]
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line[:1] == "|"]
    headings, _, *results = [[cell.strip() for cell in line] for line in lines]
    experiments = of_one_seed(dict.fromkeys(key[2] for key in rows))
    assert headings == ["", *experiments, "best without a model"]
    assert len(results) == len(metrics) >= len(MAIN) > 1
    for metric, (label, *cells, best) in zip(metrics, results, strict=True):
        assert label.startswith(f"{TASKS[metric.task].title}: {metric.label} ")
        assert cells == [said(rows[metric.task, metric.name, name]) for name in experiments]
        assert best == said(best_without_a_model(metric))


def test_what_was_found_follows_from_the_stored_numbers():
    rows = stored()
    first = next(key[2] for key in rows if key[2] not in NAMES)
    lines = re.findall(r"^- \*\*(.*)\*\* \((.*)\): (.*)$", SHOWN, re.MULTILINE)
    assert len(lines) == len(MAIN)
    for metric, (title, label, verdict) in zip(MAIN, lines, strict=True):
        assert (title, label) == (TASKS[metric.task].title, metric.label)
        of = {key[2]: row for key, row in rows.items() if key[:2] == (metric.task, metric.name)}
        trained = [of[name] for name in of_one_seed(of)]
        best = max(trained, key=lambda row: float(row["value"]))
        reached = f"{100 * float(best['value']):.1f} %"
        assert verdict.endswith(f"; best: `{best['experiment']}`, {reached}.")
        free = best_without_a_model(metric)
        better = MADE["better"].get(f"{metric.task}.{metric.name}", [])
        if float(best["low"]) <= float(free["value"]):
            assert "no experiment beats the best baseline without a model" in verdict
        elif better:
            assert verdict.startswith(", ".join(f"`{name}`" for name in better) + " clearly better")
            assert all(float(of[name]["value"]) > float(of[first]["value"]) for name in better)
        else:
            assert "no experiment clearly better" in verdict


def test_other_seeds_have_their_numbers_and_their_differences():
    assert len(MADE["seeds"]) == 3  # the demo's goals are for three
    part, rows = RESULTS.partition("## Other training seeds")[2], stored()
    first, *others = MADE["seeds"]
    cells = [line.split(" | ") for line in part.splitlines() if line[:1] == "|"][2:]
    assert len(cells) == len(MADE["differences"]) == 3 * len(MAIN)
    for facts, (_, name, by_seed, over, _) in zip(MADE["differences"], cells, strict=True):
        key, of = (facts["task"], facts["metric"]), [name, *(f"{name}_seed{n}" for n in others)]
        values = [float(rows[*key, each]["value"]) for each in of]
        assert by_seed == ", ".join(f"{100 * value:.1f}" for value in values)
        before = float(rows[*key, MADE["baseline"]]["value"])
        assert facts["experiment"] == name
        assert facts["difference"] == pytest.approx(sum(values) / len(values) - before, abs=1e-4)
        ends = (
            f"{100 * facts[end]:+.1f}".replace("-", "−") for end in ("difference", "low", "high")
        )
        assert over == "{} ({} to {})".format(*ends)
    assert (
        f"--config 'seeds={others}'" in part
        and f"The same trainings with the seeds {first}, " in part
    )


def test_the_readme_and_the_page_are_written_from_what_is_kept(window):
    window.write()
    assert window.README.read_text(encoding="utf-8") == README, "Remedy: make shop-window"
    assert window.RESULTS.read_text(encoding="utf-8") == RESULTS, "Remedy: make shop-window"


def test_a_metric_that_the_stored_table_lacks_is_left_out(window):
    table = window.KEPT / "table.csv"
    kept = [line for line in table.read_text().splitlines() if ",balanced_accuracy," not in line]
    table.write_text("\n".join(kept))
    window.write()
    text = window.README.read_text(encoding="utf-8")
    assert "Balanced accuracy" not in text and MAIN[0].label in text


def pair(task, metric, low, p, baseline="few_shot", experiment="sft"):
    metrics = {metric: {"low": low, "p_holm": p}}
    return {"baseline": baseline, "experiment": experiment, "tasks": {task: {"metrics": metrics}}}


def test_clearly_better_takes_an_interval_and_a_test(window):
    pairs = [
        pair("object", "iou", 0.01, 0.04),
        pair("object", "iou", 0.01, 0.04, experiment="grpo"),
        pair("object", "iou", 0.01, 0.04, baseline="sft", experiment="grpo"),
        pair("object", "f1_50", 0.01, 0.05),
        pair("state", "fpr", -0.01, 0.01),
        pair("state", "mcc", 0.01, None),
    ]
    compared = {"baseline": "few_shot", "interval": {"confidence": 0.95}, "comparisons": pairs}
    assert window.clearly_better(compared) == {"object.iou": ["sft", "grpo"]}


def test_an_unfinished_run_is_not_shown(window, tmp_path):
    with pytest.raises(UserError, match=r"report\.html does not exist\. Remedy: "):
        window.main(tmp_path)


def test_the_run_is_named_with_its_commit_and_date():
    assert re.fullmatch("[0-9a-f]{40}", MADE["commit"])
    assert f"{MADE['date']}, by commit {MADE['commit'][:12]}" in " ".join(SHOWN.split())
    assert f"{MADE['date']} by commit `{MADE['commit'][:12]}`" in " ".join(RESULTS.split())


def test_the_sample_is_named():
    rows = stored().values()
    examples = sum({row["task"]: int(row["n"]) for row in rows}.values())
    for text in (SHOWN, RESULTS):
        assert f"{examples:,} examples from {MADE['manuals']} test manuals" in text


def test_the_pictures_are_there_and_small():
    shown = [(ROOT, SHOWN, "docs/demo/card-"), (ROOT / "docs", RESULTS, "demo/report-")]
    for folder, text, name in shown:
        pictures = re.findall(r'(?:src|srcset)="([^"]+)"', text)
        assert pictures == [f"{name}dark.png", f"{name}light.png"]
        for picture in pictures:
            assert 10_000 < (folder / picture).stat().st_size < 300_000
    assert README.index(SHOWN) < 1000  # the README opens with them
