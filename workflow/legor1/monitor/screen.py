"""The state of a running study as lines of text, and the screen that shows them again and again."""

import contextlib
import difflib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from legor1.core.errors import UserError
from legor1.core.format import duration
from legor1.monitor import run_files
from legor1.monitor.jobs import STAGES
from legor1.monitor.run_files import clean
from legor1.monitor.study_state import DONE, FAILED, RUNNING, STOPPED, WAITING, Run, Seen, failure

ORDER = (FAILED, RUNNING, STOPPED, WAITING)  # what is said of several jobs, the first that fits
MARKS = {DONE: "✓", RUNNING: "●", WAITING: "○", FAILED: "✗", STOPPED: "‖"}
STYLES = dict(zip(MARKS, ("green", "bold cyan", "dim", "bold red", "yellow"), strict=True))
QUIET = 600  # seconds without a sign of life after which that is worth a colour


def watch(run: Path, *, once: bool = False, every: float = 3, wait: bool = False) -> None:
    """Show how the study in ``run`` stands, ``every`` few seconds until all is done, or once.

    A UserError if there is no such folder, and ``wait`` is not set.
    """
    if not (wait or run.is_dir()):
        raise UserError(_missing(run))
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal without ✓
    console = Console(highlight=False, markup=False, emoji=False, file=sys.stdout)
    live = Live(console=console, auto_refresh=False) if console.is_terminal and not once else None
    with contextlib.suppress(KeyboardInterrupt), live or contextlib.nullcontext():
        for look in [Run(run)] if once else _looks(run, every):
            shown = lines(look, time.time())
            if live:
                text = Text("\n", no_wrap=True, overflow="ellipsis").join(shown)
                live.update(text, refresh=True)
                continue
            for line in shown:
                console.print(line, soft_wrap=True)
            if not (once or look.done):
                console.print()


def _missing(run: Path) -> str:
    here = {folder.name for folder in run.parent.glob("*/") if run_files.known(folder)}
    near = difflib.get_close_matches(run.name, here, len(here) or 1, cutoff=0)
    names = [clean(str(run.parent / name)) for name in near]
    remedy = "Remedy: name the folder of a run"
    if names:
        remedy = f"Did you mean {names[0]}? Remedy: name one of {', '.join(names)}"
    return f"{clean(str(run))} does not exist. {remedy}, or give --wait if its study is starting."


def _looks(folder: Path, seconds: float) -> Iterator[Run]:
    while not (run := Run(folder)).done:
        yield run
        time.sleep(seconds)
    yield run


def lines(run: Run, now: float) -> list[Text]:
    """Return what is shown of a run, ``now`` in seconds since 1970."""
    shown = [_heading(run, now)]
    for seen in run.of(FAILED):
        shown += _failure(run, seen)
    for stage in STAGES if run.jobs else ():
        jobs = [seen for seen in run.jobs if seen.job.stage == stage]
        shown.append(_stage(stage, jobs))
        if stage == "trainings":
            shown += [line for seen in jobs for line in _training(run, seen, now)]
        elif stage == "predictions":
            shown += _predictions(run, jobs, now)
    for line in shown:
        line.rstrip()
    return shown


def _heading(run: Run, now: float) -> Text:
    name = clean(str(run.config.get("run", run.folder.name)))
    line = Text.assemble((name, "bold"), ": ")
    if not run.jobs:
        return line.append(f"nothing of it is known yet in {clean(str(run.folder))}")
    state = DONE if run.done else RUNNING if run.of(RUNNING) else WAITING
    line.append("nothing runs" if state == WAITING else state, STYLES[state])
    line.append(f", {len(run.of(DONE))} of {len(run.jobs)} jobs done")
    for other in (FAILED, STOPPED):
        if number := len(run.of(other)):
            line.append(f", {number} {other}", STYLES[other])
    if left := run.left():
        line.append(f", about {duration(left)} left")
    return line if run.done else line.append(_sign(run.alive, now))


def _failure(run: Run, seen: Seen) -> list[Text]:
    log = run.folder / seen.job.log
    named = f"{MARKS[FAILED]} failed: {clean(str(seen.job))}; its log: {clean(str(log))}"
    reason = failure(log)[:300]
    return [Text(named, STYLES[FAILED]), *([Text(f"    {reason}")] if reason else [])]


def _stage(stage: str, jobs: Sequence[Seen]) -> Text:
    states = [seen.state for seen in jobs]
    state = next((s for s in ORDER if s in states), DONE)
    done = f"{states.count(DONE)} of {len(states)}" if states else "none"
    line = Text.assemble((f"{MARKS[state]} ", STYLES[state]), (f"{stage:<13}", "bold"), done)
    if stage not in ("trainings", "predictions"):
        busy = [clean(str(seen.job)) for seen in jobs if seen.state == RUNNING]
        line.append(f"  running: {'; '.join(busy)}" if busy else "")
    return line


def _training(run: Run, seen: Seen, now: float) -> list[Text]:
    known = run.training(seen.job.experiment)
    line = _item(seen.job.experiment, seen.state)
    if known.step is not None:
        line.append(f"step {known.step:,} of {known.steps or 0:,}")
    if seen.state == STOPPED and known.note:
        line.append(f"  {known.note}")
    if seen.state == RUNNING:
        if known.left is not None:
            line.append(f"  {duration(known.left)} left")
        line.append(_sign(seen.alive, now))
    numbers = [
        f"{title} {values[-1]:.3g}"
        for title, values in (("reward", known.rewards), ("loss", known.losses))
        if values
    ]
    per = [f"{known.tokens:,.0f} tokens"] if known.tokens else []
    per += [duration(known.seconds)] if known.seconds else []
    numbers += [f"{' and '.join(per)} a step"] if per else []
    return [line, *([Text(f"      {'  '.join(numbers)}", "dim")] if numbers else [])]


def _predictions(run: Run, jobs: Sequence[Seen], now: float) -> list[Text]:
    shown = []
    for name in dict.fromkeys(seen.job.experiment for seen in jobs if seen.job.experiment):
        parts = [seen for seen in jobs if seen.job.experiment == name]
        states = [seen.state for seen in parts]
        state = next((s for s in ORDER if s in states), DONE)
        known, line = run.answers(name), _item(name, state)
        if state != WAITING or known.answers[0]:
            shards, answers = (f"{done:,} of {of:,}" for done, of in (known.shards, known.answers))
            line.append(f"{answers} examples, {shards} shards")
        if state == RUNNING:
            alive = max(seen.alive or 0.0 for seen in parts if seen.state == RUNNING)
            line.append(_sign(alive, now))
        shown.append(line)
    return shown


def _item(name: str, state: str) -> Text:
    line = Text.assemble("    ", (f"{MARKS[state]} ", STYLES[state]), f"{clean(name):<14} ")
    return line.append(f"{state:<8}", STYLES[state])


def _sign(alive: float | None, now: float) -> Text:
    if alive is None:
        return Text("")
    ago = max(0.0, now - alive)
    return Text(f"  last sign of life {duration(ago)} ago", "yellow" if ago > QUIET else "")
