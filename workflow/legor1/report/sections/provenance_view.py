"""Where the results come from: stages, commits, versions and devices, by the records."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from markupsafe import Markup

from legor1.core import provenance
from legor1.report import provenance_graph
from legor1.report.citation import Record
from legor1.report.provenance_graph import Step, grouped
from legor1.report.sections.costs import device
from legor1.report.study import Study

UNKNOWN = "not recorded"
SHOWN = 3  # files or stages that a warning names
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


def warnings(study: Study) -> list[Markup]:
    """Return what makes it doubtful that the results belong together, or can be made again."""
    steps, doubts = study.steps, list[Markup]()
    if not steps:
        return [Markup("No record says how the results were made.")]
    commits = grouped(steps, commit_of)
    if len(commits) > 1:
        doubts.append(Markup("The results come from several commits: {}.").format(_told(commits)))
    if dirty := [step for step in steps if step.record["dirty"]]:
        text = Markup("The code differed from its commit when these ran: {}.")
        doubts.append(text.format(_stages(dirty)))
    if any(not step.record["commit"] for step in steps):
        doubts.append(Markup("The commit of some results is not known: there was no repository."))
    broken = provenance_graph.broken(study.folder, steps)
    unrecorded = provenance_graph.unrecorded(study.folder, steps)
    return [
        *doubts,
        *_unlike(steps),
        *_files("These files have changed since they were made", broken),
        *_files("No record says how these files were made", unrecorded),
    ]


def _unlike(steps: Sequence[Step]) -> Iterable[Markup]:
    """Yield which stages ran more than once, and not always in the same way."""
    for name, group in provenance_graph.by_stage(steps).items():
        unlike = [what for what, way in WAYS.items() if any(way(s) != way(group[0]) for s in group)]
        if unlike:
            differing = "different " + " and ".join(unlike)
            yield Markup("Not all jobs of {} ran alike: {}.").format(name, differing)


def _files(what: str, files: list[str]) -> Iterable[Markup]:
    if files:
        more = " and others" if len(files) > SHOWN else ""
        yield Markup("{}: {}{}.").format(what, Markup(", ").join(map(_code, files[:SHOWN])), more)


def own_code() -> Markup:
    """Return the commit that renders this page."""
    return _code(commit(provenance.collect()))


def stages(study: Study) -> Iterable[tuple[str, list[Step], list[str], list[str], list[str]]]:
    """Yield each stage: its steps, the stages it takes files from, its commits and its devices."""
    edges = provenance_graph.edges(study.steps)
    for name, steps in provenance_graph.by_stage(study.steps).items():
        takes = sorted(source for source, target in edges if target == name)
        yield name, steps, takes, [*grouped(steps, commit_of)], [*grouped(steps, device)]


def moment(text: str) -> str:
    """Return a time of a record to the second."""
    return text[:19].replace("T", " ")


def commit_of(step: Step) -> str:
    """Return the commit of a step, and whether the code differed from it."""
    text = commit(step.record)
    return text if text == UNKNOWN else step.cited("commit", write=lambda _: text)


def recorded(steps: Iterable[Step], *keys: str) -> str:
    """Return what all steps record under ``keys``, as ``agreed``."""

    def write(step: Step) -> str:
        try:
            return step.cited(*keys)
        except (LookupError, TypeError):
            return UNKNOWN

    return agreed(steps, write)


def agreed(steps: Iterable[Step], write: Callable[[Step], str]) -> str:
    """Return what all steps say that say anything; with their stages if they differ."""
    values = grouped(steps, write)
    values.pop(UNKNOWN, None)
    if len(values) < 2:
        return next(iter(values), UNKNOWN)
    return Markup('<span class="several">▲ {}</span>').format(_told(values))


def _told(values: Mapping[str, list[Step]]) -> Markup:
    """Return each value with the stages that have it."""
    told = Markup("{} ({})")
    return Markup("; ").join(told.format(text, _stages(steps)) for text, steps in values.items())


def _stages(steps: Iterable[Step]) -> str:
    """Return the stages of steps, the first few by name."""
    names = [*dict.fromkeys(step.stage for step in steps)]
    return ", ".join(names[:SHOWN]) + (" and others" if len(names) > SHOWN else "")


def _code(text: str) -> Markup:
    return Markup("<code>{}</code>").format(text)
