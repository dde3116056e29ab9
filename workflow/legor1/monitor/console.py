"""What a terminal shows of Snakemake's work: a line for each job that ends, and how others get on.

It stands in for the lines that ``quiet: [rules]`` silences. The jobs' own words are in their logs.
"""

import contextlib
import logging
import shutil
import textwrap
import threading
import time
from pathlib import Path
from typing import TextIO

from legor1.core.errors import UserError
from legor1.core.format import duration
from legor1.core.layout import IN_RUN
from legor1.core.progress import TIMES
from legor1.monitor import run_files
from legor1.monitor.jobs import GOAL, RULES, TRAININGS, Job
from legor1.monitor.study_state import Run

# How Snakemake's lines about itself begin; `Nothing to be done` is none of them.
CHATTER = (
    *("Assuming unrestricted", "Building DAG", "Using shell", "Provided ", "Rules claiming"),
    *("Conda environments", "Job stats", "Select jobs", "Execute ", "Complete log", "Elapsed"),
)
ERASE = "\x1b[2K"  # the line that the cursor is in
REDRAWN, REPEATED = 2, 60  # seconds between two looks at the running jobs: in a terminal, elsewhere
ERROR_LINES = 20  # of a failed job's log


class Begun:
    """A job at work, as Snakemake announces it."""

    def __init__(self, record: logging.LogRecord) -> None:
        facts = vars(record)
        self.rule, self.wildcards = facts["rule_name"], facts["wildcards"]
        self.logs = [Path(path) for path in facts["log"]]
        self.since, self.told = time.monotonic(), ""

    def __str__(self) -> str:
        if self.rule not in RULES:  # a target, or a rule of another workflow
            return str(self.rule)
        return str(Job(rule=self.rule, wildcards=self.wildcards, outputs=(), log="", benchmark=""))

    def news(self) -> str:
        """Return its last line of progress, if that is new."""
        *_, last = ["", *filter(TIMES.search, self._words())]
        before, self.told = self.told, last
        return last if last != before else ""

    def result(self, run: Run) -> str:
        """Return the main numbers of what it made; empty if it has none."""
        if self.rule == GOAL:
            return str(run.folder / IN_RUN.report)
        if self.rule in TRAININGS:
            known = run.training(self.wildcards["experiment"])
            name, values = ("reward", known.rewards) if known.rewards else ("loss", known.losses)
            return f"{name} {values[-1]:.3g}" if values else ""
        *_, last = ["", *self._words()]
        return textwrap.shorten(TIMES.sub("", last).partition(": ")[2], 90, placeholder=" …")

    def _words(self) -> list[str]:
        return [line for log in self.logs for line in run_files.tail(log)]


class Console(logging.Filterer):
    """Takes the place of the filters of ``handler``, Snakemake's own, for the study in ``run``."""

    def __init__(self, handler: "logging.StreamHandler[TextIO]", run: Path) -> None:
        super().__init__()
        self.stream, self.run = handler.stream, run
        self.filters, handler.filters = handler.filters, [self]
        self.started = time.monotonic()
        self.running: dict[int, Begun] = {}
        self.most = 0  # jobs at once
        self.ended: list[Begun] = []  # those whose number is not yet known
        self.events = {"job_started": self._follow, "job_info": self._begin}
        self.events |= {"job_finished": self._end, "progress": self._count, "job_error": self._fail}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say what is to be said of a job; return whether Snakemake is to show another record."""
        if act := self.events.get(getattr(record, "event", None) or ""):
            act(record)
            return False
        self._say("")
        return bool(super().filter(record))

    def _say(self, text: str) -> None:
        self.stream.write((ERASE if self.stream.isatty() else "") + text)
        self.stream.flush()

    def _begin(self, record: logging.LogRecord) -> None:
        self.running[vars(record)["jobid"]] = Begun(record)
        self.most = max(self.most, len(self.running))

    def _end(self, record: logging.LogRecord) -> None:
        if job := self.running.pop(vars(record)["job_id"], None):
            self.ended.append(job)

    def _count(self, record: logging.LogRecord) -> None:
        done, total = (f"{vars(record)[name]}" for name in ("done", "total"))
        run, elapsed, left = Run(self.run), duration(time.monotonic() - self.started), None
        with contextlib.suppress(UserError):
            left = run.left(self.most)
        about = f"about {duration(left)} left" if left else ""
        for job in self.ended:
            head = f"{done:>{len(total)}}/{total}  {elapsed:>11}  {about:<22}"
            facts = duration(time.monotonic() - job.since), job.result(run)
            self._say(f"{head}  {job}: {', '.join(filter(None, facts))}\n")
        self.ended = []

    def _fail(self, record: logging.LogRecord) -> None:
        facts = vars(record)
        self._say(f"✗ failed: {self.running.pop(facts['jobid'], facts['rule_name'])}\n")
        if message := facts["rule_msg"]:
            self._say(textwrap.indent(f"{message}\n", "    "))
        for log in map(Path, facts["log"]):
            end = run_files.content(log, run_files.TAIL).decode("utf-8", "replace").splitlines()
            shown = "\n".join(end[-ERROR_LINES:]) or "It is empty."
            self._say(f"  The end of its log, {log}:\n{textwrap.indent(shown, '    ')}\n")

    def _follow(self, record: logging.LogRecord) -> None:
        if not self.most:  # the first
            threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        watched = self.stream.isatty()
        while True:
            time.sleep(REDRAWN if watched else REPEATED)
            jobs = [*self.running.values()]
            news = [line for job in jobs if (line := job.news())]
            if watched:
                line = "   ".join(job.told for job in jobs if job.told)
                self._say(line[: shutil.get_terminal_size().columns - 1] + "\r")
            elif news:
                self._say("\n".join(news) + "\n")
