"""A study on the SLURM of this machine: the profile filled in, its jobs watched and disturbed."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import watching
import yaml
from study import Study
from watching import processes

CLUSTER = Path(__file__).parents[1] / "cluster"
SCRIPT = CLUSTER / "slurm.sh"
SNAKEMAKE = CLUSTER / "prompt_snakemake.py"
SECONDS = 900  # after which a run of Snakemake is given up
GPU_RULES = ("train_sft", "train_grpo", "predict_shard")


@pytest.fixture(scope="session")
def slurm():
    """Start the cluster, yield a function that runs `slurm.sh` with another command, stop it."""

    def run(command: str) -> None:
        # Its daemons keep standard output open, so it is not piped.
        subprocess.run([SCRIPT, command], check=True, timeout=300)

    run("start")
    yield run
    run("stop")


class SiteStudy(Study):
    """A study whose profile was filled in for this cluster: nothing but names and waiting times.

    Its jobs compute on the CPU, yet ask for the GPUs that the full study asks for.
    """

    def __init__(self, folder: Path, *overlays: str, **options: Any):
        super().__init__(folder, *overlays, **options)
        self.submissions: list[Submission] = []
        path = folder / "profiles" / "slurm" / "config.yaml"
        profile = yaml.safe_load(path.read_text())
        for rule in GPU_RULES:
            profile["set-resources"][rule] = profile["set-resources"][rule] | {"gpu": 1}
        profile |= {"slurm-init-seconds-before-status-checks": 2, "latency-wait": 10}
        path.write_text(yaml.safe_dump(profile))

    def submit(self, *arguments: str) -> "Submission":
        """Start Snakemake on the cluster; its output goes to a file of its own."""
        self.submissions.append(Submission(self, ["--workflow-profile", "slurm", *arguments]))
        return self.submissions[-1]

    def end(self) -> None:
        """End what is still running: after a test that failed, and what SLURM let slip.

        It tells a job's processes by their parents here, where a real cluster has cgroups.
        """
        for submission in self.submissions:
            submission.end()
        for process in processes_of(self.folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def finish(self, *arguments: str) -> str:
        """Run Snakemake on the cluster until it succeeds, and return its output."""
        submission = self.submit(*arguments)
        assert submission.wait() == 0, submission.said()
        return submission.said()


class Submission:
    """A running Snakemake."""

    def __init__(self, study: SiteStudy, arguments: list[str]):
        self.study = study
        self.log = study.folder / f"snakemake-{time.monotonic_ns()}.txt"
        command = [sys.executable, str(SNAKEMAKE), *study.overlay, *arguments]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=study.folder, stdout=log, stderr=log)

    def said(self) -> str:
        """Return what it has said so far."""
        return self.log.read_text()

    def run_id(self) -> str:
        """Return the name that all its jobs have, as it says itself at the start."""
        return re.search(r"SLURM run ID: (\S+)", self.said())[1]

    def wait(self, seconds: float = SECONDS) -> int:
        """Return its status; end it if it takes too long."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"not done after {seconds} s:\n{self.said()}") from None

    def end(self) -> None:
        """End it and its jobs, if it is still running."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            subprocess.run(["scancel", "--name", self.run_id()], check=False)


def jobs(folder: Path, rule: str = "") -> list[dict[str, str]]:
    """Return SLURM's records of the jobs that were submitted from ``folder``, oldest first."""
    shown = subprocess.run(
        ["scontrol", "--oneliner", "show", "jobs"], capture_output=True, text=True, check=True
    ).stdout
    records = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in shown.splitlines()]
    records = [one for one in records if one.get("WorkDir") == str(folder)]
    chosen = [one for one in records if one.get("Comment", "").startswith(f"rule_{rule}")]
    return sorted(chosen, key=lambda one: int(one["JobId"]))


# SLURM is asked less often: each answer takes the controller some time.
wait_for = partial(watching.wait_for, seconds=600, poll=0.5)


def processes_of(folder: Path, ending: str = "") -> list[int]:
    """Return the processes whose command names ``folder`` and ends with ``ending``."""
    return processes(
        lambda command: str(folder) in command and command.rstrip("\0").endswith(ending)
    )
