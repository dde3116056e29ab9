"""The table of docs/reruns.md: each change, how it is made, and the jobs that run again for it."""

import re
from dataclasses import dataclass

from study import ROOT

PAGE = ROOT / "docs/reruns.md"
IN_A_CLONE = "a fresh clone, the results restored"


@dataclass(frozen=True)
class Row:
    """A change.

    Attributes:
        commands: what is done to the files of the study, in its folder.
        options: what Snakemake is given. With commands, the study was made with them, too;
            without, they are the change.
        jobs: rule → number of jobs that run again in the demo.
    """

    change: str
    commands: tuple[str, ...]
    options: tuple[str, ...]
    jobs: dict[str, int]


def rows() -> list[Row]:
    """Return the rows of the table, in order."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [_row(*(cell.strip() for cell in line.strip("|").split("|"))) for line in lines[2:]]


def _row(change: str, how: str, again: str) -> Row:
    spans = re.findall("`([^`]+)`", how)
    options = tuple(word for span in spans if span.startswith("--") for word in span.split(" ", 1))
    jobs = re.findall(r"`(\w+)`(?: × (\d+))?", again)
    assert spans and (jobs or again == "nothing"), change
    return Row(
        change=change,
        commands=tuple(span for span in spans if not span.startswith("--")),
        options=options,
        jobs={rule: int(count or 1) for rule, count in jobs},
    )


def jobs(change: str) -> dict[str, int]:
    """Return the jobs that run again for ``change``."""
    (found,) = [row.jobs for row in rows() if row.change == change]
    return found
