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
from legor1.monitor.study_state import DONE, FAILED, RUNNING, STOPPED, WAITING, Run, Seen

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
    configs = (run_files.CONFIG, run_files.STARTED)
    beside = run.parent.glob("*/")
    here = {each.name for each in beside if any((each / name).is_file() for name in configs)}
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
        log = clean(str(run.folder / seen.job.log))
        named = f"{MARKS[FAILED]} failed: {clean(str(seen.job))}; its log: {log}"
        shown += [Text(named, STYLES[FAILED]), Text(f"    {seen.said[:300]}")]
    for stage in STAGES if run.jobs else ():
        jobs = [seen for seen in run.jobs if seen.job.stage == stage]
        shown.append(_stage(stage, [seen.state for seen in jobs]))
        shown += [_item(seen, now) for seen in jobs if seen.state in (RUNNING, STOPPED)]
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


def _stage(stage: str, states: Sequence[str]) -> Text:
    state = next((s for s in ORDER if s in states), DONE)
    done = f"{states.count(DONE)} of {len(states)}" if states else "none"
    return Text.assemble((f"{MARKS[state]} ", STYLES[state]), (f"{stage:<13}", "bold"), done)


def _item(seen: Seen, now: float) -> Text:
    """Return a line of a job that has begun: how far it says that it is."""
    line = Text.assemble("    ", (f"{MARKS[seen.state]} {seen.state} ", STYLES[seen.state]))
    line.append(clean(str(seen.job)))
    line.append(f": {said}" if (said := seen.said.partition(": ")[2]) else "")
    return line.append(_sign(seen.alive, now)) if seen.state == RUNNING else line


def _sign(alive: float | None, now: float) -> Text:
    if alive is None:
        return Text("")
    ago = max(0.0, now - alive)
    return Text(f"  last sign of life {duration(ago)} ago", "yellow" if ago > QUIET else "")
