"""Those who watch a study know the jobs of Snakemake's rules, as Snakemake notes them."""

import json
import re
from pathlib import Path

import pytest
import study_jobs
from study import ROOT, Study

from legor1.config.settings import load, read
from legor1.core.layout import IN_RUN
from legor1.monitor import jobs, run_files

JOB = re.compile(r"^(?:local)?rule (\w+):\n((?: .*\n)+)", re.MULTILINE)


def planned(study: Study, *arguments: str) -> set[tuple]:
    """Return rule, outputs, log and benchmark of each job that Snakemake would run."""
    said = study.snakemake("--dry-run", "--quiet", "host", *arguments)
    assert said.returncode == 0, said.stdout
    found = set()
    for rule, facts in JOB.findall(said.stdout):
        given = dict(re.findall(r"^ +(output|log|benchmark): (.*)$", facts, re.MULTILINE))
        if rule != "all":
            outputs = frozenset(given["output"].split(", "))
            found.add((rule, outputs, given["log"], given["benchmark"]))
    return found


@pytest.mark.parametrize(
    ("overlays", "given"),
    [
        ([], None),
        (["smoke"], None),
        (["thesis_first"], None),
        (["demo"], {"base": {"source": "rebuild"}}),
        (["demo"], {"columns": ["grpo"]}),
    ],
    ids=["full", "smoke", "thesis_first", "rebuilt base", "one column"],
)
def test_the_jobs_are_those_of_the_rules(tmp_path, overlays, given):
    study = Study(tmp_path, *overlays)
    more = [f"--config={key}={json.dumps(value)}" for key, value in (given or {}).items()]
    files = [read(ROOT / f"workflow/configs/{name}.yaml") for name in overlays]
    config = load(ROOT / "config.yaml", *files, given or {})
    run = f"results/{config['run']}"
    known = set()
    for job in study_jobs.listed(config):
        outputs = frozenset(f"{run}/{name}" for name in job.outputs)
        known.add((job.rule, outputs, f"{run}/{job.log}", f"{run}/{job.benchmark}"))
    assert known == planned(study, *more)


def test_snakemake_notes_its_jobs_as_it_starts(tmp_path):
    study = Study(tmp_path, "demo")
    run = tmp_path / "results/demo"
    config = load(ROOT / "config.yaml", read(ROOT / "workflow/configs/demo.yaml"))
    study.pretend_finished()
    noted = (run / IN_RUN.jobs).read_bytes()
    assert jobs.read(run) == study_jobs.listed(config)
    assert [job for job in jobs.read(run) if not job.done(run)] == []
    study.snakemake("--touch", "--force", f"results/demo/{IN_RUN.table}")
    assert (run / IN_RUN.jobs).read_bytes() == noted, "a part of the study is not the study"


def test_a_dry_run_notes_no_config(tmp_path):
    study = Study(tmp_path, "demo")
    study.plan()
    assert not (Path(tmp_path) / "results/demo" / run_files.STARTED).exists()
