"""A Snakemake that can be killed at any moment, and what it was doing then."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from study import Study

POLL = 0.04  # seconds
MOST_SECONDS = 600  # that a job takes
STARTED = re.compile(r"^(?:local)?rule (\w+):\n(?:    .*\n)*?    jobid: (\d+)$", re.MULTILINE)
FINISHED = re.compile(r"^Finished jobid: (\d+) ", re.MULTILINE)


class Attempt:
    """Snakemake at work in ``study``, in a session of its own; ``log`` gets what it says."""

    def __init__(self, study: Study, log: Path, *arguments: str) -> None:
        self.log = log
        command = [sys.executable, "-m", "snakemake", *study.overlay, "--quiet", "host", *arguments]
        with log.open("w") as file:
            self.process = subprocess.Popen(
                command,
                cwd=study.folder,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def running(self) -> dict[str, str]:
        """Return job → rule of those that were started and have not finished."""
        said = self.log.read_text()
        finished = set(FINISHED.findall(said))
        return {job: rule for rule, job in STARTED.findall(said) if job not in finished}

    def wait_for(self, rules: Collection[str]) -> tuple[str, str] | None:
        """Wait until a job of one of ``rules`` runs: return both, or None if Snakemake ended."""
        while self.process.poll() is None:
            if found := [(job, rule) for job, rule in self.running().items() if rule in rules]:
                return found[0]
            time.sleep(POLL)
        return None

    def lasts(self, job: str, seconds: float) -> bool:
        """Wait so long; return at once, and False, if the job ends before."""
        end = time.monotonic() + seconds
        while job in self.running() and self.process.poll() is None:
            if time.monotonic() >= end:
                return True
            time.sleep(POLL)
        return False

    def wait(self, seconds: float = float("inf")) -> Counter:
        """Wait so long, or until Snakemake ends; return rule → seconds that its longest job ran."""
        begun = time.monotonic()
        took, first = Counter(), {}
        while self.process.poll() is None and (now := time.monotonic()) < begun + seconds:
            for job, rule in self.running().items():
                took[rule] = max(took[rule], now - first.setdefault(job, now))
            time.sleep(POLL)
        return took

    def kill(self, *, alone: bool) -> None:
        """Kill Snakemake with its jobs, or alone: then its jobs go on, and end by themselves.

        The processes that train are in sessions of their own: they see that nobody waits, and end.
        """
        if alone:
            self.process.kill()
        else:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        end = time.monotonic() + MOST_SECONDS
        while self._left():
            assert time.monotonic() < end, f"jobs of {self.log} go on and on"
            time.sleep(POLL)

    def _left(self) -> bool:
        """Return whether a process of the session is still there."""
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(int(path.name)) == self.process.pid:
                    return True
        return False
