"""Where the results come from: stages, commits, versions and devices, by the records."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from legor1.report import provenance_graph
from legor1.report.citation import Record
from legor1.report.provenance_graph import Step, grouped
from legor1.report.sections.costs import device
from legor1.report.study import Study

UNKNOWN = "not recorded"
WAYS: dict[str, Callable[[Step], object]] = {  # in which the jobs of a stage should be alike
    "code": lambda step: step.record["code_sha256"],
    "versions of packages": lambda step: step.record["versions"],
    "devices": device,
}


def commit(record: Record) -> str:
    """Return the short commit of a record and whether the code differed from it."""
    changed = {True: ", with changes", False: "", None: ", changes unknown"}
    known = record["commit"]
    return str(known)[:12] + changed[record["dirty"]] if known else UNKNOWN


def own_commit(study: Study) -> str:
    """Return the commit that the results were made by, or that there are several."""
    commits = [*grouped(study.steps, commit_of)]
    return "several commits" if len(commits) > 1 else commits[0] if commits else UNKNOWN


def doubts(study: Study) -> list[tuple[str, object]]:
    """Return what makes it doubtful that the results belong together, or can be made again.

    Each is of a kind that ``_provenance.html.j2`` has words for, and has what it concerns.
    """
    folder, steps = study.folder, study.steps
    commits = grouped(steps, commit_of)
    found = [
        ("no records", not steps),
        ("commits", len(commits) > 1 and commits),
        ("dirty", [step for step in steps if step.record["dirty"]]),
        ("no commit", any(not step.record["commit"] for step in steps)),
        *(("unlike", each) for each in _unlike(steps)),
        ("changed", provenance_graph.broken(folder, steps)),
        ("unrecorded", provenance_graph.unrecorded(folder, steps)),
    ]
    return [(kind, what) for kind, what in found if what]


def _unlike(steps: Sequence[Step]) -> Iterator[tuple[str, list[str]]]:
    """Yield which stages ran more than once, and in which ways they did not run alike."""
    for name, group in provenance_graph.by_stage(steps).items():
        first = group[0]
        ways = [what for what, way in WAYS.items() if any(way(s) != way(first) for s in group)]
        if ways:
            yield name, ways


def commit_of(step: Step) -> str:
    """Return the commit of a step, and whether the code differed from it."""
    text = commit(step.record)
    return text if text == UNKNOWN else step.cited("commit", write=lambda _: text)


def recorded(steps: Iterable[Step], *keys: str) -> dict[str, list[Step]]:
    """Return what the steps record under ``keys``, as ``said``."""

    def write(step: Step) -> str:
        try:
            return step.cited(*keys)
        except (LookupError, TypeError):
            return UNKNOWN

    return said(steps, write)


def said(steps: Iterable[Step], write: Callable[[Step], str]) -> dict[str, list[Step]]:
    """Return each text that ``write`` makes of steps → those steps, without what says nothing."""
    groups = grouped(steps, write)
    groups.pop(UNKNOWN, None)
    return groups
