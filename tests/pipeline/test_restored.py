"""A finished study, published and restored in a fresh clone: what Snakemake plans there."""

import json
import os
import re
import shutil

import pytest
from cloned_study import PULLING, REPORT, clone, command, legor1, publish
from reruns import IN_A_CLONE, jobs, rows
from study import ROOT, Study

RUN = "results/demo"
GOES_ON = (
    "title of the report",
    "metric: bootstrap samples",
    "one experiment added",
    "learning rate",
)


def fill(study: Study, name: str, content: dict) -> None:
    """Put JSON into a file of the pretended run, and leave its time alone."""
    path = study.folder / RUN / name
    before = path.stat()
    path.write_text(json.dumps(content))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def recipe(study: Study, name: str) -> dict:
    """Return what Snakemake trains the experiment by."""
    target = f"{RUN}/adapters/{name}/run.json"
    said = study.snakemake("-n", "-p", "-F", "-q", "host", "--", target).stdout
    recipes = map(json.loads, re.findall(r"legor1 train --recipe '(.*?)' ", said))
    (own,) = (recipe for recipe in recipes if recipe["experiment"] == name)
    return own


def start_git(study: Study) -> None:
    """Make the study's folder a git repository with the DVC settings of this one."""
    machine = shutil.ignore_patterns("tmp", "cache", "config.local")
    shutil.copytree(ROOT / ".dvc", study.folder / ".dvc", ignore=machine)
    shutil.copy2(ROOT / ".gitignore", study.folder)
    command(study.folder, "git", "init", "--quiet")


@pytest.fixture(scope="module")
def published(tmp_path_factory, own_dvc):
    study = Study(tmp_path_factory.mktemp("published") / "study", "demo")
    start_git(study)
    study.pretend_finished()
    fill(study, "config.json", {})
    fill(study, "base/model.json", {"path": "../../../workflow/base/tiny"})
    for name in ("sft", "grpo", "sft_grpo"):
        fill(study, f"adapters/{name}/run.json", {"recipe": recipe(study, name)})
    (study.folder / RUN / "data/tree").mkdir()
    (study.folder / RUN / "data/tree/a.png").write_text("a picture")
    publish(study, RUN)
    return study


@pytest.fixture(scope="module")
def restored(published):
    study = clone(published, published.folder.parent / "restored")
    legor1(study, "restore", RUN)
    return study


@pytest.fixture(scope="module")
def pulled(published):
    """A clone that has pulled the adapters alone."""
    study = clone(published, published.folder.parent / "pulled")
    done = study.snakemake(*PULLING, "--until", "pull_adapter")
    assert done.returncode == 0, done.stdout
    return study


def test_publishing_reruns_nothing(published):
    assert published.plan() == {}


def test_nothing_is_left_to_do_in_a_fresh_clone(published, restored):
    assert restored.plan() == jobs(IN_A_CLONE)
    for path in (published.folder / RUN).rglob("*"):
        if path.is_file() and not {"logs", "benchmarks"} & {*path.parts}:
            copy = restored.folder / path.relative_to(published.folder)
            assert copy.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "row",
    [row for row in rows() if row.change in GOES_ON],
    ids=lambda row: row.change,
)
def test_a_restored_study_goes_on_from_there(restored, row):
    assert restored.plan(*row.options) == row.jobs


def test_other_code_than_it_was_made_by_is_seen_in_a_fresh_clone(published, restored):
    path = restored.folder / "workflow/legor1/training/sft.py"
    before = path.read_text()
    path.write_text(before + "\nOTHER = 1\n")
    try:
        assert restored.plan() == jobs("code of one training")
    finally:
        path.write_text(before)
    assert restored.plan() == {}


def test_adapters_are_pulled_in_place_of_training(published, pulled):
    plan = clone(published, published.folder.parent / "bare").plan(*PULLING)
    assert plan["pull_adapter"] == 3 and plan["predict_shard"] == 5
    assert not [rule for rule in plan if rule.startswith("train_")]
    for name in ("sft", "grpo"):
        file = f"{RUN}/adapters/{name}/run.json"
        assert (pulled.folder / file).read_text() == (published.folder / file).read_text()


def test_a_pulled_adapter_is_pulled_once(pulled):
    plan = pulled.plan(*PULLING)
    assert plan["predict_shard"] == 5
    assert not {"pull_adapter", "train_sft", "train_grpo"} & plan.keys()


def test_pulling_what_was_restored_does_nothing(restored):
    assert restored.plan(*PULLING) == REPORT  # which shows the config


def test_another_adapter_is_replaced_by_the_published_one(restored):
    path = restored.folder / RUN / "adapters/sft/adapter/adapter_model.safetensors"
    before, time = path.read_bytes(), path.stat().st_mtime
    path.write_text("other weights")
    try:
        assert restored.plan(*PULLING) == {"pull_adapter": 1} | jobs(
            "length of one experiment's answers"
        )
    finally:
        path.write_bytes(before)
        os.utime(path, (time, time))


def test_an_adapter_of_another_recipe_stops_the_plan(restored):
    change = "experiments={sft: {training: {learning_rate: 0.1}}}"
    done = restored.snakemake("--dry-run", *PULLING, change)
    assert done.returncode != 0
    assert "sft was trained with training {" in done.stdout and "Remedy: " in done.stdout
    assert "Traceback" not in done.stdout


def test_without_a_published_run_there_is_nothing_to_pull(tmp_path):
    done = Study(tmp_path, "demo").snakemake("--dry-run", *PULLING)
    assert "Error: published/demo.dvc does not exist" in done.stdout
    assert "Traceback" not in done.stdout
