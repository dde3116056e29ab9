"""The whole pipeline once, in miniature: three experiments, two optimiser steps each."""

import base64
import copy
import csv
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from crates import validate
from reading_back import Report, faults
from study import ROOT, Study

from legor1.core.files import sha256
from legor1.monitor.study_state import Run
from legor1.publishing.crate import write_crate

EXPERIMENTS = ("few_shot", "sft", "grpo")
BASELINES = {
    "always_yes": {"state"},
    "copy_demonstration": {"object", "grounding", "state"},
    "mean_box": {"object"},
    "previous_instruction": {"grounding"},
}
METRICS = {
    "object": {"f1_50_labelled", "iou", "f1_object"},
    "grounding": {
        "exact",
        "colour_right",
        "place_right",
        "f1_theme",
        "rouge1",
        "rouge2",
        "rougeL",
        "bleu",
    },
    "state": {"balanced_accuracy", "f1_state", "fpr"},
}


def _variable(page: str, name: str) -> Any:
    """Return what a page's script gives to a variable."""
    start = page.rindex(f"var {name} = ") + len(f"var {name} = ")
    return json.JSONDecoder().raw_decode(page[start:])[0]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A study that was run once, and what that said."""
    study = Study(tmp_path_factory.mktemp("smoke"), "smoke", with_base=True)
    done = study.snakemake()
    assert done.returncode == 0, done.stdout
    return study, done.stdout


@pytest.fixture(scope="module")
def smoke(first):
    study, _ = first
    return study


@pytest.fixture(scope="module")
def run(smoke):
    return smoke.folder / "results" / "smoke"


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_job_is_a_line_and_the_last_one_names_the_report(first):
    _, said = first
    lines = said.splitlines()
    heads = [line for line in lines if re.match(r" +\d+/38 +\d", line)]
    assert [int(line.partition("/")[0]) for line in heads] == [*range(1, 39)]
    assert len(lines) <= 2 * len(heads)
    assert lines[-1].endswith(" s, results/smoke/report.html")
    assert [line for line in lines if len(line) >= 190] == []
    assert not re.search("Finished jobid|Warning|Job stats|Select jobs|mismatch|\\[rank", said)
    for shown in (
        r"training of sft: .*, loss=\d",
        r"training of grpo: .*, reward=",
        r"answers of sft, shard 1: .*, 13/13 answers",
        r"scores of grpo, protocol sound: .*, object \w+ \d\.\d{3}, grounding \w+ .*, state \w+ ",
        r"comparison: .*, tests 9, significant \d",
        r"/38 .* about .* left +scores of ",
    ):
        assert re.search(shown, said), (shown, said)


def test_what_the_terminal_lacks_is_in_the_logs(run):
    logs = {path: path.read_text() for path in (run / "logs").rglob("*.log")}
    assert re.search(r"^sft: 2/2 steps, loss=\S+, ", logs[run / "logs/train/sft.log"], re.MULTILINE)
    assert "Warning" in "".join(logs.values())  # of libraries


def test_the_table_has_every_experiment_and_metric(run):
    with (run / "table.csv").open() as file:
        table = list(csv.DictReader(file))
    assert ",".join(table[0]) == "experiment,protocol,task,metric,value,low,high,n"
    for experiment in EXPERIMENTS:
        for task, metrics in METRICS.items():
            found = [r for r in table if (r["experiment"], r["task"]) == (experiment, task)]
            assert metrics <= {row["metric"] for row in found}
            assert {row["protocol"] for row in found} == {"sound", "thesis"}
            assert all(float(row["value"]) >= -1 for row in found if row["value"])
    for name, tasks in BASELINES.items():
        assert {row["task"] for row in table if row["experiment"] == name} == tasks


def test_the_trained_are_compared_with_the_untrained(run):
    comparison = json.loads((run / "comparison.json").read_text())
    assert comparison["baseline"] == "few_shot"
    pairs = [(one["baseline"], one["experiment"]) for one in comparison["comparisons"]]
    assert pairs == [("few_shot", "sft"), ("few_shot", "grpo"), ("sft", "grpo")]


def test_every_test_example_was_answered_once_by_every_experiment(run):
    asked = [row["instance_id"] for row in rows(run / "data/sound/plain/test.jsonl")]
    for experiment in EXPERIMENTS:
        answered = [row["instance_id"] for row in rows(run / f"predictions/{experiment}.jsonl")]
        assert answered == sorted(asked)


@pytest.mark.parametrize("experiment", ["sft", "grpo"])
def test_an_adapter_was_trained_with_zero_2(run, experiment):
    facts = json.loads((run / "adapters" / experiment / "run.json").read_text())
    assert facts["steps"] == 2
    assert facts["method"] == experiment
    assert 0 < facts["trainable_parameters"] < facts["total_parameters"]
    assert all("step" in row for row in rows(run / "adapters" / experiment / "history.jsonl"))
    # Only DeepSpeed leaves these; a wrong launch ignores it silently.
    jobs = (run / "work").glob("*/job.json")
    (work,) = [
        p.parent for p in jobs if json.loads(p.read_text())["recipe"]["method"] == experiment
    ]
    states = [path.name for path in work.glob("checkpoint-2/global_step2/*optim_states.pt")]
    assert states == ["zero_pp_rank_0_mp_rank_00_optim_states.pt"]


@pytest.mark.parametrize("experiment", ["sft", "grpo"])
def test_a_training_leaves_curves(run, experiment):
    assert [*(run / "adapters" / experiment / "curves").glob("events.*")]


def test_grpo_logs_what_tells_a_good_training_from_a_bad_one(run):
    first = rows(run / "adapters" / "grpo" / "history.jsonl")[0]
    parts = {f"rewards/{part}/{of}" for part in ("format", "object") for of in ("mean", "std")}
    rewards = {"reward", "reward_std", "frac_reward_zero_std"} | parts
    rest = {"entropy", "completions/clipped_ratio", "num_tokens", "step_time"}
    assert rewards | rest <= {*first}
    # The prompts were shared: fewer tokens were computed than the stock trainer computes.
    assert first["shared_prompts/token_ratio"] < 1


def test_an_adapter_moves_the_language_model_and_not_the_vision_tower(run):
    from safetensors import safe_open

    path = run / "adapters" / "sft" / "adapter" / "adapter_model.safetensors"
    with safe_open(path, "np") as weights:
        keys = list(weights.keys())
        moved = [key for key in keys if "lora_B" in key and weights.get_tensor(key).any()]
    assert moved
    assert all("language_model" in key for key in keys)


def test_the_report_stands_alone_and_shows_its_config(run):
    report = (run / "report.html").read_text()
    assert "Smoke test" in report
    assert "<script src=" not in report
    assert 'href="http' not in report.partition("</head>")[0]
    config = json.loads((run / "config.json").read_text())
    assert config["run"] == "smoke"
    assert config == json.loads((run / "logs/config.json").read_text())
    assert "not finished" not in report


def test_every_number_of_the_report_stands_in_the_file_that_it_names(run):
    page = (run / "report.html").read_text()
    assert faults(run, page) == []
    assert len(Report(page).cited) > 1000
    gallery = (run / "gallery.html").read_text()
    assert faults(run, gallery) == []
    assert len(Report(gallery).cited) > 50


def test_every_result_has_a_record_of_how_it_was_made(smoke, run):
    schema = json.loads((ROOT / "workflow/schemas/record.schema.json").read_text())
    recorded = {}
    for path in run.rglob("*.provenance.json"):
        record = json.loads(path.read_text())
        jsonschema.validate(record, schema)
        recorded |= {one["path"]: one["sha256"] for one in record["outputs"]}
    outputs = smoke.snakemake("--summary").stdout.splitlines()
    outputs = [line.split("\t")[0] for line in outputs if line.startswith("results/")]
    assert len(outputs) > 40
    assert {path: sha256(smoke.folder / path) for path in outputs}.items() <= recorded.items()


def test_the_report_has_the_stages_as_they_ran(run):
    page = (run / "report.html").read_text()
    stages = dict(re.findall('<tr><th scope="row">(predict|table)</th>(.*?)</tr>', page))
    assert ", train grpo, " in stages["predict"] and "<td>score" in stages["table"]
    warnings = re.findall('<p class="warning">▲ <bdi>(.*?)</bdi></p>', page)
    assert warnings == ["The commit of some results is not known: there was no repository."]


def test_the_commands_in_the_report_make_the_same_study(smoke, run):
    page = (run / "report.html").read_text()
    *_, config, again = re.search('aria-label="Command">(.*?)</pre>', page, re.S)[1].splitlines()
    subprocess.run(config, shell=True, cwd=smoke.folder, check=True)
    same = copy.copy(smoke)
    same.overlay = again.removeprefix(".venv/bin/snakemake ").split()
    done = same.snakemake()
    assert "Nothing to be done" in done.stdout, done.stdout


def test_snakemakes_own_report_holds_the_results_with_captions_and_categories(smoke, tmp_path):
    done = smoke.snakemake("--report", str(tmp_path / "own.html"))
    assert done.returncode == 0, done.stdout
    page = (tmp_path / "own.html").read_text()
    found, categories = (_variable(page, name) for name in ("results", "categories"))
    assert {name: len(one["Other"]) for name, one in categories.items()} == {
        "Study": 1,
        "Results": 6,
        "Data": 1,
        "Training": 4,
    }
    assert len({(*one["labels"].values(), one["name"]) for one in found.values()}) == len(found)
    for path, one in found.items():
        assert len(re.sub("<.*?>", "", one["caption"]).split()) > 20, path
        data = base64.b64decode(one["data_uri"].partition("base64,")[2])
        assert data == (smoke.folder / path).read_bytes(), path
    assert "the protocol <em>sound</em>" in found["results/smoke/data/sound/audit.json"]["caption"]
    assert "This run, <em>smoke</em>, compares\n3 experiments" in _variable(page, "workflow_desc")


def test_the_finished_study_is_a_valid_ro_crate(smoke, tmp_path, monkeypatch):
    monkeypatch.chdir(smoke.folder)
    packed = write_crate(Path("results/smoke"), tmp_path / "crate")
    assert packed["actions"] > 30
    done = validate(tmp_path / "crate", tmp_path / "http")
    assert done.returncode == 0, done.stdout + done.stderr


def test_those_who_watch_see_that_all_is_done(run):
    assert Run(run).done
    assert not [*(run / "work").glob("*/history.jsonl")]


def test_a_second_run_does_nothing(smoke):
    done = smoke.snakemake()
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout


def test_a_killed_shard_goes_on_where_it_stopped(smoke, run):
    shard = run / "predictions" / "few_shot" / "shards" / "0.jsonl"
    whole = shard.read_text()
    first, *_ = whole.splitlines(keepends=True)
    shard.unlink()
    shard.with_suffix(".partial.jsonl").write_text(first + '{"instance_id": "cut')
    done = smoke.snakemake("--", str(shard.relative_to(smoke.folder)))
    assert done.returncode == 0, done.stdout
    assert sorted(shard.read_text().splitlines()) == sorted(whole.splitlines())


def test_a_job_that_fails_shows_its_error_and_its_log(smoke, run):
    predictions = run / "predictions" / "always_yes.jsonl"
    whole, target = predictions.read_text(), "results/smoke/scores/always_yes/sound/scores.json"
    predictions.write_text('{"instance_id": "cut')
    done = smoke.snakemake("--allowed-rules", "score_predictions", "--force", "--", target)
    predictions.write_text(whole)
    assert done.returncode != 0
    assert "Error in rule score_predictions:\n" in done.stdout
    assert "Logfile results/smoke/logs/score/always_yes/sound.log:\n" in done.stdout
    complaint = r"^legor1 score: .*always_yes.jsonl, line 1.*Remedy: "
    assert re.search(complaint, done.stdout, re.MULTILINE)
