"""The state of a running study, by its files alone: no process is asked, nothing is written.

A job is done if its files are there. Else its log tells: without one since the last start, or since
it last ended well, it waits; one that ends with an error failed, one that was interrupted stopped.
"""

import contextlib
import re
from collections import defaultdict
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from legor1.core.errors import UserError
from legor1.core.progress import TIMES
from legor1.monitor import jobs, run_files
from legor1.monitor.jobs import Job
from legor1.monitor.run_files import Record

DONE, RUNNING, WAITING, FAILED, STOPPED = "done", "running", "waiting", "failed", "stopped"
# The last line of a log: how the command line ends early or with an error, and how Python does.
INTERRUPTED = re.compile(r"legor1 [\w-]+: (interrupted$|training .* stopped )")
COMPLAINT = re.compile(r"legor1 [\w-]+: ")
RAISED = re.compile(r"[\w.]*(Error|Exception|Exit)\b")
# A line of progress: how many of how many, and how long the rest will take.
COUNTED = re.compile(r": (\d{1,9})/(\d{1,9}) .* ([\d:]{1,9}) left$")
SETTLED = 2  # seconds by which clocks of file servers may differ


class Seen(NamedTuple):
    """A job as it stands."""

    job: Job
    state: str
    alive: float | None = None  # when it last gave a sign of life, in seconds since 1970
    said: str = ""  # the last line of progress in its log, or else the last; empty if it waits


class Run:
    """A run's folder, looked at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config: Record = {}
        with contextlib.suppress(UserError):
            self.config, _ = run_files.config(folder)
        self.started = run_files.changed(folder / run_files.STARTED) or 0.0

    @cached_property
    def jobs(self) -> list[Seen]:
        """Every job of the study, in the order of the stages; none before it is started."""
        return [self._look(job) for job in jobs.read(self.folder)]

    @property
    def alive(self) -> float | None:
        """When any job last gave a sign of life, in seconds since 1970."""
        return max((seen.alive for seen in self.jobs if seen.alive), default=None)

    def of(self, *states: str) -> list[Seen]:
        """Return the jobs in one of the states."""
        return [seen for seen in self.jobs if seen.state in states]

    @property
    def done(self) -> bool:
        """Tell whether all is done."""
        return bool(self.jobs) and len(self.of(DONE)) == len(self.jobs)

    def left(self, lanes: int = 1) -> float | None:
        """Estimate the seconds to the end of the study, with ``lanes`` jobs at once or more.

        A job takes as long as those of its rule that are done, or as running ones say in their
        logs. None while a training or prediction has no such model; others then count as nothing.
        """
        known: dict[str, list[float]] = defaultdict(list)
        ahead, waiting = [0.0], []
        for job, state, _, said in self.jobs:
            if state == DONE:
                known[job.rule] += self._took(job)
            elif state == RUNNING and (counted := COUNTED.search(said)):
                done, total, rest = int(counted[1]), int(counted[2]), _seconds(counted[3])
                known[job.rule] += [rest * total / (total - done)] if done < total else []
                ahead.append(rest)
            else:
                waiting.append(job.rule)
        if any(rule in jobs.LONG and not known[rule] for rule in waiting):
            return None
        ahead += [mean(known[rule]) for rule in waiting if known[rule]]
        return max(sum(ahead) / max(lanes, len(self.of(RUNNING)), 1), *ahead)

    def _took(self, job: Job) -> list[float]:
        """Return the seconds that Snakemake noted of a job; none if it has not."""
        with contextlib.suppress(IndexError, ValueError):
            return [float(run_files.tail(self.folder / job.benchmark)[-1].split()[0])]
        return []

    def _look(self, job: Job) -> Seen:
        log = self.folder / job.log
        alive, ended = (run_files.changed(path) for path in (log, self.folder / job.benchmark))
        if job.done(self.folder):
            return Seen(job, DONE, alive)
        if alive is None or alive < self.started - SETTLED or (ended and alive < ended + SETTLED):
            return Seen(job, WAITING)
        *lines, last = ["", *run_files.tail(log)]
        raised = any(line.startswith("Traceback (most recent call last)") for line in lines)
        if INTERRUPTED.match(last):
            return Seen(job, STOPPED, alive, last)
        if COMPLAINT.match(last) or (raised and RAISED.match(last)):
            return Seen(job, FAILED, alive, last)
        *_, told = [last, *filter(TIMES.search, [*lines, last])]
        return Seen(job, RUNNING, alive, told)


def _seconds(clock: str) -> float:
    """Return the seconds of a time such as ``1:02:03``."""
    return float(sum(int(part or 0) * 60**n for n, part in enumerate(reversed(clock.split(":")))))
