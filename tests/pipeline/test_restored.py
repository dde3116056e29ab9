"""A finished study, published and restored in a fresh clone: what Snakemake plans there."""

import json
import os
import shutil

import pytest
from cloned_study import clone, command, legor1, publish
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
    (study.folder / RUN / "data/tree").mkdir()
    (study.folder / RUN / "data/tree/a.png").write_text("a picture")
    publish(study, RUN)
    return study


@pytest.fixture(scope="module")
def restored(published):
    study = clone(published, published.folder.parent / "restored")
    legor1(study, "restore", RUN)
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
