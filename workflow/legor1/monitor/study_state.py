"""How a running study stands, by its files alone: nobody is asked, and nothing is written.

A job is done if its files are there. Else its log tells: without one since the last start, or since
it last ended well, it waits; one that ends with an error failed, one that was interrupted stopped.
"""

import contextlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from legor1.core.errors import UserError
from legor1.core.layout import IN_RUN
from legor1.monitor import jobs, run_files
from legor1.monitor.jobs import Job
from legor1.monitor.run_files import Record
from legor1.training import work_folder

DONE, RUNNING, WAITING, FAILED, STOPPED = "done", "running", "waiting", "failed", "stopped"
# The last line of a log: how the command line ends with an error, and how Python does.
SAID = re.compile(r"legor1 [\w-]+: (?!interrupted$)")
INTERRUPTED = re.compile(r"legor1 [\w-]+: interrupted")
RAISED = re.compile(r"[\w.]*(Error|Exception|Exit)\b")
SETTLED = 2  # seconds by which clocks of file servers may differ


@dataclass(frozen=True)
class Training:
    """Where a training stands; numbers are None where they are not known.

    ``tokens`` and ``seconds`` are those of one step, ``left`` the seconds to its end at the speed
    since it was started, ``note`` why it stopped, if it did.
    """

    step: int | None = None
    steps: int | None = None
    rewards: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    tokens: float | None = None
    seconds: float | None = None
    left: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Seen:
    """A job, its state, and when it last gave a sign of life, in seconds since 1970."""

    job: Job
    state: str
    alive: float | None = None


@dataclass(frozen=True)
class Answers:
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
        """Every job of the study, in the order of the stages; none before it is started.

        Raises:
            UserError: `jobs.json` lists none.
        """
        return [self._look(job) for job in jobs.read(self.folder)]

    @property
    def alive(self) -> float | None:
        """When any job last gave a sign of life, in seconds since 1970."""
        return max((one.alive for one in self.jobs if one.alive), default=None)

    def of(self, *states: str) -> list[Seen]:
        """Return the jobs in one of the states."""
        return [one for one in self.jobs if one.state in states]

    @property
    def done(self) -> bool:
        """Tell whether all is done."""
        return bool(self.jobs) and len(self.of(DONE)) == len(self.jobs)

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
        done, steps = _count(note.get("step")), _count(note.get("steps"))
        gone = (done or 0) - (_count(note.get("first")) or 0)
        seconds = _number(note.get("seconds"))
        pace = seconds / gone if seconds and gone > 0 else None
        why = run_files.clean(str(stop.get("why", "")))
        return _training(run_files.rows(folder / work_folder.HISTORY), done, steps, pace, why)

    def answers(self, name: str) -> Answers:
        """Return how far the predictions of an experiment are."""
        parts = [one for one in self.jobs if one.job.experiment == name]
        shards = [one for one in parts if one.job.rule == "predict_shard"]
        test = self.folder / run_files.conversations(self.config, name, "test")
        whole = self.folder / IN_RUN.predictions(name)
        said = run_files.lines(whole) or sum(map(self._answered, (one.job for one in shards)))
        done = len([one for one in shards if one.state == DONE])
        return Answers((done, len(shards)), (said, run_files.lines(test)))

    def _answered(self, shard: Job) -> int:
        path = self.folder / shard.outputs[0]
        partial = max(
            self._partial(shard), key=lambda one: run_files.changed(one) or 0.0, default=path
        )
        return run_files.lines(path) or run_files.lines(partial)

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
    said = run_files.tail(log)
    if not said:
        return ""
    raised = any(line.startswith("Traceback (most recent call last)") for line in said)
    ends = SAID.match(said[-1]) or (raised and RAISED.match(said[-1]))
    return said[-1] if ends else ""


def _training(
    history: Iterable[Record],
    step: int | None,
    steps: int | None,
    pace: float | None,
    note: str = "",
) -> Training:
    logged: dict[str, list[float]] = {"reward": [], "loss": []}
    tokens = left = None
    for row in history:
        known = {key: number for key in row if (number := _number(row[key])) is not None}
        for key, values in logged.items():
            values += [known[key]] if key in known else []
        if known.get("num_tokens") and known.get("step"):
            tokens = known["num_tokens"] / known["step"]
    if pace and steps is not None and step is not None:
        left = pace * max(0, steps - step)
    return Training(step, steps, logged["reward"], logged["loss"], tokens, pace, left, note)


def _number(value: Any) -> float | None:
    """Return a finite number that is not beyond all measure; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -1e15 < value < 1e15 and math.isfinite(value) else None


def _count(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number >= 0 else None
