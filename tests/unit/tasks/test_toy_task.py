"""A task is one file: the module of docs/task.md alone takes its rows through the pipeline.

It is put into a copy of the package; nothing else is changed there.
"""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from legor1.config.settings import load, read
from legor1.core.files import read_json, read_jsonl, write_json, write_jsonl

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/task.md").read_text()
MODULE = re.search(r"```python workflow/legor1/tasks/count.py\n(.*?)```", PAGE, re.DOTALL)[1]
CODE = """
import json, sys
from legor1.cli.main import main
sys.exit(max(main(command) for command in json.load(sys.stdin)))
"""
EXPERIMENTS = ("few_shot", "sft", "grpo")


@pytest.fixture(scope="module")
def workflow(tmp_path_factory):
    """Return a copy of the workflow with the further task."""
    folder = tmp_path_factory.mktemp("toy") / "workflow"
    ignored = shutil.ignore_patterns("__pycache__", "base", "*.egg-info")
    shutil.copytree(ROOT / "workflow", folder, ignore=ignored)
    (folder / "legor1/tasks/count.py").write_text(MODULE)
    return folder


@pytest.fixture(scope="module")
def legor1(workflow):
    def run(*commands):
        """Run commands in one process, and return what they print."""
        done = subprocess.run(
            [sys.executable, "-c", CODE],
            env=os.environ | {"PYTHONPATH": str(workflow)},
            cwd=workflow.parent,
            input=json.dumps([list(map(str, command)) for command in commands]),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def add_rows(tree: Path) -> None:
    """Ask of each image of the object task how many kinds of parts it shows."""
    decoder, dialogues = json.JSONDecoder(), []
    text = (tree / "qwen_data/object_qwen_new.jsonl").read_text()
    position = 0
    while position < len(text.rstrip()):
        turns, position = decoder.raw_decode(text, position)
        position += len(text[position:]) - len(text[position:].lstrip())
        boxes = turns[1]["content"][0]["text"].count("bbox_2d")
        turns[0]["content"][1]["text"] = "How many kinds of parts are shown?"
        turns[1]["content"][0]["text"] = str(boxes)
        dialogues.append(json.dumps(turns))
    (tree / "qwen_data/count_qwen.jsonl").write_text("\n".join(dialogues))


@pytest.fixture(scope="module")
def run(workflow, legor1):
    """Return the folder of a run in which answers were made without a model."""
    folder = workflow.parent / "results/toy"
    data = folder / "data"
    drawn = ["--manuals", 8, "--steps", 2, "--objects", 3, "--seed", 7, "--image-size", "160x120"]
    legor1(["synthesize", data / "tree", *drawn])
    add_rows(data / "tree")
    instances, split = data / "instances.parquet", data / "sound/split.json"
    quarantine = ["--quarantine", data / "quarantine.jsonl"]
    of = ["--protocol", "sound", "--seed", 42, "--out"]
    sides = [data / f"sound/plain/{side}.jsonl" for side in ("train", "test")]
    free = ["--train", sides[0], "--test", sides[1], "--out", folder / "predictions"]
    legor1(
        ["index", data / "tree", "--out", instances, *quarantine],
        ["split", instances, *of, split],
        ["convert", instances, split, *of, data / "sound"],
        ["baselines", *free],
    )
    rows = [
        row | {"completion": row["response"], "prediction": row["response"]}
        for row in read_jsonl(sides[1])
    ]
    for name in EXPERIMENTS:  # as if models had answered: all of it right, or no count
        answers = [
            row | {"reference": row["response"]}
            | ({"prediction": "many"} if (name, row["task"]) == ("sft", "count") else {})
            for row in rows
        ]  # fmt: skip
        write_jsonl(folder / f"predictions/{name}.jsonl", answers)
    return folder


@pytest.fixture(scope="module")
def scored(run, legor1):
    """Return the same, scored, compared and put into a table and a report."""
    scores, commands = run / "scores", []
    files = sorted(file.stem for file in (run / "predictions").glob("*.jsonl"))
    for name in files:
        given = [run / f"predictions/{name}.jsonl", "--replicates", 50]
        for protocol in ("sound", "thesis"):
            out = scores / name / protocol
            commands.append(["score", *given, "--protocol", protocol, "--out", out])
    sides = [f"{name}={scores}/{name}/sound" for name in EXPERIMENTS]
    table = [f"{name}={scores}/{name}/sound/scores.json" for name in files]
    config = load(ROOT / "config.yaml", read(ROOT / "workflow/configs/smoke.yaml"))
    write_json(run / "config.json", config)
    legor1(
        *commands,
        ["compare", *sides, "--replicates", 50, "--out", run / "comparison.json"],
        ["table", *table, "--out", run / "table.csv"],
        ["report", run, "--out", run / "report.html", "--gallery", run / "gallery.html"],
    )
    return run


def test_its_rows_are_read_split_and_asked(run):
    rows = list(read_jsonl(run / "data/sound/plain/test.jsonl"))
    asked = [row for row in rows if row["task"] == "count"]
    assert asked and len(asked) == sum(row["task"] == "object" for row in rows)
    for row in asked:
        assert row["prompt"] == "How many kinds of parts are shown? Just tell me the number."
        assert row["response"].isdecimal() and row["demonstrations"]
    assert read_json(run / "data/sound/split.json")["tasks"]["count"]["train"] > 0


def test_its_baseline_and_the_common_one_answer_it(run):
    copied = {row["task"] for row in read_jsonl(run / "predictions/copy_demonstration.jsonl")}
    own = {row["task"] for row in read_jsonl(run / "predictions/most_frequent.jsonl")}
    assert copied == {"object", "grounding", "state", "count"} and own == {"count"}


def test_its_metrics_are_scored_compared_and_tabled(scored):
    tasks = read_json(scored / "scores/sft/sound/scores.json")["tasks"]
    assert tasks["count"]["accuracy"] == 0 and tasks["object"]["iou"] == 1
    assert "count" not in read_json(scored / "scores/sft/thesis/scores.json")["tasks"]
    compared = read_json(scored / "comparison.json")["comparisons"][0]["tasks"]["count"]
    assert compared["main"] == "accuracy"
    assert compared["metrics"]["accuracy"]["difference"] == -1
    with (scored / "table.csv").open() as file:
        table = {(r["experiment"], r["metric"]): r["value"] for r in csv.DictReader(file)}
    assert table["few_shot", "accuracy"] == "1.000000" and ("most_frequent", "off_by") in table


def test_the_report_and_the_gallery_show_it(scored):
    page, gallery = ((scored / name).read_text() for name in ("report.html", "gallery.html"))
    for text in ("Count the parts", "Accuracy", "Mean error", "most frequent"):
        assert text in page
    assert "check a step and count the parts" in page
    assert "Count the parts" in gallery and 'id="of-count"' in gallery


def test_its_reward_is_one_of_the_suite(legor1, run):
    said = legor1(
        ["probe-reward", "sound", "--conversations", run / "data/sound/plain/train.jsonl"]
    )
    assert "count (count), the answer to another query: share " in said
    assert "count (count), nothing: share 0.000" in said


def test_two_tasks_of_one_name_are_refused(legor1, workflow):
    second = workflow / "legor1/tasks/second.py"
    second.write_text(MODULE.replace('@reward("count")', '@reward("other")'))
    try:
        done = subprocess.run(
            [sys.executable, "-c", "import legor1.tasks.discovery"],
            env=os.environ | {"PYTHONPATH": str(workflow)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "second.py: there is a task 'count' already. Remedy: rename it." in done.stderr
    finally:
        second.unlink()
