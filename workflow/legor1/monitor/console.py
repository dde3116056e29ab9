"""What Snakemake's terminal shows of a study: a line for each job that ends, and running progress.

It replaces the lines that ``quiet: [rules]`` silences; the jobs' own output is in their logs.
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
from legor1.monitor.jobs import GOAL, TRAININGS, Job
from legor1.monitor.run_files import tail
from legor1.monitor.study_state import Run

ERASE = "\x1b[2K"  # the line that the cursor is in
REDRAWN, REPEATED = 2, 60  # seconds between two looks at the running jobs: in a terminal, elsewhere


class Console(logging.Filterer):
    """Filters of ``handler``, Snakemake's own, before those that it has, in the study ``run``."""

    def __init__(self, handler: "logging.StreamHandler[TextIO]", run: Path) -> None:
        super().__init__()
        self.stream, self.run = handler.stream, run
        self.filters, handler.filters = handler.filters, [self]
        self.started, self.most = time.monotonic(), 0  # jobs at once
        self.running: dict[int, tuple[Job, float]] = {}  # and since when
        self.ended: list[tuple[Job, float]] = []  # those whose number is not yet known

    def filter(self, record: logging.LogRecord) -> bool:
        """Note what a record says of a job; return whether Snakemake is to show it."""
        facts, now = vars(record), time.monotonic()
        match facts.get("event"):
            case "job_info":
                rule, wildcards, log = facts["rule_name"], facts["wildcards"], "".join(facts["log"])
                job = Job.model_construct(rule=rule, wildcards=wildcards, log=log)
                self.running[facts["jobid"]] = job, now
                self.most = max(self.most, len(self.running))
            case "job_started" if not self.most:  # the first of all
                threading.Thread(target=self._follow, daemon=True).start()
            case "job_finished":
                self.ended += filter(None, [self.running.pop(facts["job_id"], None)])
            case "progress":
                self._count(facts["done"], facts["total"], now)
            case "job_error":  # Snakemake shows it in full, with its log
                self.running.pop(facts["jobid"], None)
                self._say("")
                return True
            case event:
                self._say("")
                return event != "job_started" and bool(super().filter(record))
        return False

    def _say(self, text: str) -> None:
        self.stream.write((ERASE if self.stream.isatty() else "") + text)
        self.stream.flush()

    def _count(self, done: int, total: int, now: float) -> None:
        run, left = Run(self.run), None
        with contextlib.suppress(UserError):
            left = run.left(self.most)
        about = f"about {duration(left)} left" if left and done < total else ""
        head = f"{f'{done}/{total}':>7}  {duration(now - self.started):>11}  {about:<22}"
        for job, since in self.ended:
            facts = filter(None, (duration(now - since), _result(job, run)))
            self._say(f"{head}  {job}: {', '.join(facts)}\n")
        self.ended = []

    def _follow(self) -> None:
        before: set[str] = set()
        while True:
            time.sleep(REDRAWN if self.stream.isatty() else REPEATED)
            logs = [tail(Path(job.log)) for job, _ in [*self.running.values()]]
            lines = [progress[-1] for log in logs if (progress := [*filter(TIMES.search, log)])]
            if self.stream.isatty():
                self._say("   ".join(lines)[: shutil.get_terminal_size().columns - 1] + "\r")
            else:
                self._say("".join(f"{line}\n" for line in lines if line not in before))
            before = {*lines}


def _result(job: Job, run: Run) -> str:
    """Return the main numbers of what a job made; empty if it has none."""
    if job.rule == GOAL:
        return str(run.folder / IN_RUN.report)
    said = tail(Path(job.log))
    if job.rule in TRAININGS:
        said = [line for line in said if TIMES.search(line)]
    *_, last = ["", *said]
    return textwrap.shorten(TIMES.sub("", last).partition(": ")[2], 88, placeholder=" …")
