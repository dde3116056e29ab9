"""The state of a running study, by its files alone: no process is asked, nothing is written.

A job is done if its files are there. Else its log tells: without one since the last start, or since
it last ended well, it waits; one that ends with an error failed, one that was interrupted stopped.
"""

import contextlib
import math
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from legor1.core.errors import UserError
from legor1.core.layout import IN_RUN
from legor1.monitor import jobs, run_files
from legor1.monitor.jobs import Job
from legor1.monitor.run_files import Record
from legor1.training import work_folder

DONE, RUNNING, WAITING, FAILED, STOPPED = "done", "running", "waiting", "failed", "stopped"
# The last line of a log: how the command line ends with an error, and how Python does.
COMPLAINT = re.compile(r"legor1 [\w-]+: (?!interrupted$)")
INTERRUPTED = re.compile(r"legor1 [\w-]+: interrupted")
RAISED = re.compile(r"[\w.]*(Error|Exception|Exit)\b")
SETTLED = 2  # seconds by which clocks of file servers may differ


@dataclass(frozen=True)
class Training:
    """Where a training stands; numbers are None where they are not known.

    ``tokens`` and ``seconds`` are of one step, ``left`` the seconds to the end at the speed since
    the last start, ``note`` why it stopped, if it did.
    """

    step: int | None = None
    steps: int | None = None
    rewards: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    tokens: float | None = None
    seconds: float | None = None
    left: float | None = None
    note: str = ""

    @property
    def reached(self) -> str:
        """The last reward, or else the last loss; empty without either."""
        name, values = ("reward", self.rewards) if self.rewards else ("loss", self.losses)
        return f"{name} {values[-1]:.3g}" if values else ""


class Seen(NamedTuple):
    """A job, its state, and when it last gave a sign of life, in seconds since 1970."""

    job: Job
    state: str
    alive: float | None = None


class Answers(NamedTuple):
    """An experiment's predictions: shards and test examples, done and in all (0: not known)."""

    shards: tuple[int, int]
    answers: tuple[int, int]


class Run:
    """A run's folder, looked at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config: Record = {}
        with contextlib.suppress(UserError):
            self.config, _ = run_files.config(folder)
        self.started = run_files.changed(folder / run_files.STARTED) or 0.0
        self.work = run_files.trainings(folder)

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

        A job takes as long as those of its rule that are done, or trainings at their present speed.
        None while a training or prediction has no such model; other jobs then count as nothing.
        """
        known: dict[str, list[float]] = defaultdict(list)
        ahead, waiting = [0.0], []
        for job, state, _ in self.jobs:
            now = self.training(job.experiment) if job.rule in jobs.TRAININGS else Training()
            if now.left is not None and now.seconds and now.steps:
                known[job.rule].append(now.seconds * now.steps)
                ahead.append(now.left)
            elif state == DONE:
                known[job.rule] += self._took(job)
            else:
                waiting.append(job.rule)
        if any(rule in jobs.LONG and not known[rule] for rule in waiting):
            return None
        ahead += [mean(known[rule]) for rule in waiting if known[rule]]
        return max(sum(ahead) / max(lanes, len(self.of(RUNNING)), 1), *ahead)

    def training(self, name: str) -> Training:
        """Return where the training of an experiment stands."""
        if facts := run_files.json_object(self.folder / IN_RUN.training(name)):
            steps, seconds = _count(facts.get("steps")), _number(facts.get("seconds"))
            pace = seconds / steps if seconds and steps else None
            return _training(run_files.rows(self.folder / IN_RUN.history(name)), steps, steps, pace)
        if name not in self.work:
            return Training()
        folder = self.work[name]
        note, stop = run_files.step(folder), run_files.json_object(folder / work_folder.STOPPED)
        done, steps, first = (_count(note.get(key)) for key in ("step", "steps", "first"))
        seconds, taken = _number(note.get("seconds")), (done or 0) - (first or 0)
        pace = seconds / taken if seconds and taken > 0 else None
        why = run_files.clean(str(stop.get("why", "")))
        return _training(run_files.rows(folder / work_folder.HISTORY), done, steps, pace, why)

    def _took(self, job: Job) -> list[float]:
        """Return the seconds that Snakemake noted of a job; none if it has not."""
        with contextlib.suppress(IndexError, ValueError):
            return [float(run_files.tail(self.folder / job.benchmark)[-1].split()[0])]
        return []

    def answers(self, name: str) -> Answers:
        """Return how far the predictions of an experiment are."""
        parts = [seen for seen in self.jobs if seen.job.experiment == name]
        shards = [seen for seen in parts if seen.job.rule == "predict_shard"]
        test = self.folder / run_files.conversations(self.config, name, "test")
        answered = run_files.lines(self.folder / IN_RUN.predictions(name))
        if not answered:
            answered = sum(self._answered(shard.job) for shard in shards)
        done = sum(shard.state == DONE for shard in shards)
        return Answers((done, len(shards)), (answered, run_files.lines(test)))

    def _answered(self, shard: Job) -> int:
        partial = self._partial(shard)
        newest = max(partial, key=lambda path: run_files.changed(path) or 0.0, default=None)
        whole = run_files.lines(self.folder / shard.outputs[0])
        return whole or (run_files.lines(newest) if newest else 0)

    def _partial(self, shard: Job) -> list[Path]:
        path = self.folder / shard.outputs[0]
        with contextlib.suppress(OSError, ValueError):
            return [*path.parent.glob(f"{path.stem}.*.partial.jsonl")]
        return []

    def _look(self, job: Job) -> Seen:
        log, folder = self.folder / job.log, None
        traces = [run_files.changed(log)]
        if job.rule in jobs.TRAININGS and job.experiment in self.work:
            folder = self.work[job.experiment]
            traces.append(run_files.last_change(folder))
        if job.rule == "predict_shard":
            traces += map(run_files.changed, self._partial(job))
        alive = max((time for time in traces if time is not None), default=None)
        if job.done(self.folder):
            return Seen(job, DONE, alive)
        ended = run_files.changed(self.folder / job.benchmark)
        if alive is None or alive < self.started - SETTLED or (ended and alive < ended + SETTLED):
            return Seen(job, WAITING)
        return Seen(job, _state(log, folder), alive)


def _state(log: Path, folder: Path | None) -> str:
    """Return the state of a job that has begun and is not done."""
    for note, state in ((work_folder.STOPPED, STOPPED), (work_folder.FAILED, FAILED)):
        if folder and run_files.changed(folder / note) is not None:
            return state
    if failure(log):
        return FAILED
    *_, last = ["", *run_files.tail(log)]
    return STOPPED if INTERRUPTED.fullmatch(last) else RUNNING


def failure(log: Path) -> str:
    """Return the error that a log ends with, on one line; empty if it ends with none."""
    *lines, last = ["", *run_files.tail(log)]
    raised = any(line.startswith("Traceback (most recent call last)") for line in lines)
    return last if COMPLAINT.match(last) or (raised and RAISED.match(last)) else ""


def _training(
    history: list[Record], step: int | None, steps: int | None, pace: float | None, note: str = ""
) -> Training:
    rows = [{key: n for key in row if (n := _number(row[key])) is not None} for row in history]
    rewards, losses = ([row[key] for row in rows if key in row] for key in ("reward", "loss"))
    counted = [row for row in rows if row.get("num_tokens") and row.get("step")]
    tokens = counted[-1]["num_tokens"] / counted[-1]["step"] if counted else None
    left = None
    if pace and steps is not None and step is not None:
        left = pace * max(0, steps - step)
    return Training(step, steps, rewards, losses, tokens, pace, left, note)


def _number(value: object) -> float | None:
    """Return a finite number of a plausible size; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -1e15 < value < 1e15 and math.isfinite(value) else None


def _count(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number >= 0 else None
