"""The rules as a module of another workflow, in another folder, with a rule of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from study import ROOT, Study

OUTER = """\
configfile: "config/outer.yaml"


module legor1:
    snakefile:
        {snakefile!r}
    config:
        config["legor1"]


use rule * from legor1{renamed}


onstart:
    legor1.onstart()


rule count_rows:
    default_target: True
    input:
        "results/smoke/table.csv",
    output:
        "rows.txt",
    shell:
        "wc -l < {{input}} > {{output}}"
"""
SMOKE = {"train_sft": 1, "train_grpo": 1, "predict_shard": 6, "compile_table": 1}


# One training, one shard and one protocol: of each rule that differs in its files alone, one job.
FEWER = {"columns": ["few_shot", "sft"], "inference": {"shards": 1}}
FEWER |= {"evaluation": {"protocols": ["sound"]}}


def outer(folder: Path, snakefile: str, renamed: str = "", changes: dict | None = None) -> Path:
    """Write a workflow that takes the rules in ``snakefile`` and runs the smoke study with them.

    ``changes`` are to blocks of the study's config.
    """
    smoke = yaml.safe_load((ROOT / "workflow/configs/smoke.yaml").read_text())
    for key, value in (changes or {}).items():
        smoke[key] = smoke[key] | value if key in smoke else value
    (folder / "config").mkdir(parents=True)
    (folder / "config/outer.yaml").write_text(yaml.safe_dump({"mine": 1, "legor1": smoke}))
    (folder / "Snakefile").write_text(OUTER.format(snakefile=snakefile, renamed=renamed))
    return folder


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("renamed", "prefix"), [("", ""), (" as study_*", "study_")])
def test_another_workflow_plans_the_rules_and_its_own(tmp_path, renamed, prefix):
    folder = outer(tmp_path, str(ROOT / "workflow/Snakefile"), renamed)
    done = snakemake(folder, "--dry-run")
    assert done.returncode == 0, done.stdout
    plan = {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE)}
    assert plan["count_rows"] == 1
    assert {rule: plan[prefix + rule] for rule in SMOKE} == SMOKE
    assert re.search(r"^Plan: .* min of CPU; everything fits$", done.stdout, re.MULTILINE)


def test_another_workflow_is_told_of_errors_in_its_block(tmp_path):
    folder = outer(tmp_path, str(ROOT / "workflow/Snakefile"))
    done = snakemake(folder, "--dry-run", "--config", "legor1={inferense: 1}")
    assert done.returncode != 0
    assert "unknown key inferense. Did you mean inference?" in done.stdout
    assert "Traceback" not in done.stdout


def test_rules_without_their_package_say_to_clone_it(tmp_path):
    clone = Study(tmp_path / "clone").folder
    for command in ("init --quiet", "add workflow", "commit --quiet --message=all"):
        git = ["git", "-c", "user.name=me", "-c", "user.email=me@example.org", *command.split()]
        subprocess.run(git, cwd=clone, check=True)
    address = f"git+file://{clone}/workflow/Snakefile@HEAD"
    done = snakemake(outer(tmp_path / "outer", address), "--dry-run")
    assert done.returncode != 0
    assert "Remedy: clone the repository" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.slow
def test_another_workflow_runs_the_smoke_study(tmp_path):
    folder = outer(tmp_path, str(ROOT / "workflow/Snakefile"), changes=FEWER)
    done = snakemake(folder, "count_rows", "all")
    assert done.returncode == 0, done.stdout
    rows = (folder / "results/smoke/table.csv").read_text().splitlines()
    assert (folder / "rows.txt").read_text().strip() == str(len(rows))
    assert (folder / "results/smoke/report.html").is_file()
    assert (folder / "results/smoke/logs/config.json").is_file()  # by onstart
