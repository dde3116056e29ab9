"""Which jobs run again after a change, and no others: every row of docs/reruns.md, by dry-run."""

import contextlib
import os
import shutil
import subprocess

import pytest
from reruns import IN_A_CLONE, rows
from study import Study

CONDA = """\
#!/bin/sh
case "$*" in
  "info --json") echo '{"conda_prefix": "/none", "platform": "linux-64"}' ;;
  --version) echo "conda 25.1.0" ;;
  *) echo '{"get": {"channel_priority": "strict"}}' ;;
esac
"""


@contextlib.contextmanager
def changed(study: Study, commands, backup):
    """Run ``commands`` in the study's folder, and afterwards put back all as it was, times too.

    It keeps its place: Snakemake knows a conda environment by where it lies.
    """
    shutil.copytree(study.folder, backup, symlinks=True)
    try:
        for command in commands:
            subprocess.run(command, shell=True, cwd=study.folder, check=True)
        yield
    finally:
        shutil.rmtree(study.folder)
        backup.rename(study.folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A function that returns the demo, finished with some options of Snakemake's.

    With those of conda its jobs ran in environments, as Snakemake notes them; there is no conda.
    """
    folder = tmp_path_factory.mktemp("finished")
    (folder / "conda").write_text(CONDA)
    (folder / "conda").chmod(0o755)
    made = {}

    def finish(options):
        if options not in made:
            study = Study(folder / str(len(made)), "demo")
            for name in ("qwen_data/train.jsonl", "images/1.png"):
                file = study.folder / "arta" / name
                file.parent.mkdir(parents=True)
                file.write_text("{}\n")
            study.pretend_finished(*options)
            assert study.plan(*options) == {}
            made[options] = study
        return made[options]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder), prepend=os.pathsep)
        yield finish


@pytest.mark.parametrize(
    "row", [row for row in rows() if row.change != IN_A_CLONE], ids=lambda row: row.change
)
def test_a_change_reruns_what_it_reaches(finished, row, tmp_path):
    study = finished(row.options if row.commands else ())
    with changed(study, row.commands, tmp_path / "backup"):
        assert study.plan(*row.options) == row.jobs
