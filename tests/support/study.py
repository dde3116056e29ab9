"""A copy of the workflow in a folder of its own, and what Snakemake would do in it."""

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from loaded import Loaded

ROOT = Path(__file__).parents[2]
TARGETS = ("all", "fetch", "rebuild_base", "figure1")
RUNS_NOTHING = {"--dry-run", "-n", "--summary", "--touch"}
PARTS = ("Snakefile", "config.yaml", "envs", "profiles", "workflow")


class Study:
    """A copy of the workflow below ``folder``; ``overlays`` are the configs it is run with."""

    def __init__(self, folder: Path, *overlays: str, with_base: bool = False):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        files = [f"workflow/configs/{name}.yaml" for name in overlays]
        self.overlay = ["--configfile", *files] if files else []
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        for part in PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, folder / part, ignore=ignored)
            else:
                shutil.copy2(ROOT / part, folder / part)
        if not with_base:
            self._put_a_stand_in_for_the_base()

    @classmethod
    def lying_in(cls, folder: Path, overlay: list[str]) -> "Study":
        """Return the study whose copy of the workflow is in ``folder`` already."""
        study = cls.__new__(cls)
        study.folder, study.overlay = folder, overlay
        return study

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run Snakemake in the copy; standard error goes where standard output goes.

        Where no job runs, in a fork of a process that has loaded it: that is most of a plan's time.
        """
        command = [sys.executable, "-m", "snakemake", *self.overlay, *arguments]
        if RUNS_NOTHING & {*arguments}:
            status, said = _forked(self.folder, [*self.overlay, *arguments])
            return subprocess.CompletedProcess(command, status, said)
        return subprocess.run(
            command,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def plan(self, *arguments: str) -> dict[str, int]:
        """Return rule → number of jobs that would run, targets left out."""
        done = self.snakemake("--dry-run", *arguments)
        assert done.returncode == 0, done.stdout
        jobs = re.findall(r"^(\w+) +(\d+)$", done.stdout, flags=re.MULTILINE)
        return {rule: int(count) for rule, count in jobs if rule not in (*TARGETS, "total")}

    def pretend_finished(self, *arguments: str) -> None:
        """Make every output, empty, and have Snakemake note them as made by the present rules."""
        for line in self.snakemake("--summary").stdout.splitlines():
            if line.startswith("results/"):
                path = self.folder / line.split("\t")[0]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"made as {path.name}\n")
        done = self.snakemake("--touch", "--forceall", *arguments)
        assert done.returncode == 0, done.stdout

    def _put_a_stand_in_for_the_base(self) -> None:
        base = self.folder / "workflow" / "base" / "tiny"
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir(parents=True)
        (base / "config.json").write_text("{}\n")
        (base / "model.safetensors").write_bytes(b"no weights\n")


@functools.cache
def _loaded() -> Loaded:
    return Loaded("loaded_snakemake.py", os.environ)


def _forked(folder: Path, arguments: list[str]) -> tuple[int, str]:
    """Return the exit status of Snakemake in a folder, and what it says."""
    with tempfile.NamedTemporaryFile() as log:
        request = {"folder": str(folder), "arguments": arguments, "log": log.name}
        status = _loaded().ask(request | {"environment": dict(os.environ)})
        return status, Path(log.name).read_text()
