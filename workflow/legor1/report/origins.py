"""Where the results come from: commits, versions, devices and dates, as the records say."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from markupsafe import Markup

from legor1 import provenance
from legor1.report import lineage
from legor1.report.cited import duration
from legor1.report.costs import device, mib
from legor1.report.lineage import Step
from legor1.report.study import Study

UNKNOWN = "not recorded"
SHOWN = 3  # files or stages that a warning names
WAYS: dict[str, Callable[[Step], Any]] = {  # in which the jobs of a stage should be alike
    "code": lambda step: step.record["code_sha256"],
    "versions of packages": lambda step: step.record["versions"],
    "devices": device,
}
Table = tuple[list[str], list[list[str]]]
Found = list[tuple[str, list[Step]]]  # a value as text, and the steps that have it


def commit(record: dict[str, Any]) -> str:
    """Return the short commit of a record and whether the code differed from it."""
    if not record.get("commit"):
        return UNKNOWN
    changed = {True: ", with changes", False: "", None: ", changes unknown"}
    return str(record["commit"])[:12] + changed[record.get("dirty")]


def commits(steps: Iterable[Step]) -> str:
    """Return the commits of steps, each once."""
    return _joined(_distinct(steps, _commit))


def devices(steps: Iterable[Step]) -> str:
    """Return what steps ran on, each device once."""
    return _joined(_distinct(steps, device))


def own_commit(study: Study) -> str:
    """Return the commit that the results were made by, or that there are several."""
    found = _distinct(study.steps, _commit)
    return "several commits" if len(found) > 1 else found[0][0] if found else UNKNOWN


def warnings(study: Study) -> list[Markup]:
    """Return what makes it doubtful that the results belong together, or can be made again."""
    steps, said = study.steps, list[Markup]()
    if not steps:
        return [Markup("No record says how the results were made.")]
    found = _distinct(steps, _commit)
    if len(found) > 1:
        said.append(Markup("The results come from several commits: {}.").format(_told(found)))
    dirty = [step for step in steps if step.record["dirty"]]
    if dirty:
        said.append(
            Markup("The code differed from its commit when these ran: {}.").format(_stages(dirty))
        )
    if any(not step.record["commit"] for step in steps):
        said.append(Markup("The commit of some results is not known: there was no repository."))
    said += _unlike(steps)
    for files, what in (
        (lineage.broken(study.folder, steps), "These files have changed since they were made"),
        (lineage.unrecorded(study.folder, steps), "No record says how these files were made"),
    ):
        if files:
            more = " and others" if len(files) > SHOWN else ""
            named = Markup(", ").join(map(_code, files[:SHOWN]))
            said.append(Markup("{}: {}{}.").format(what, named, more))
    return said


def _unlike(steps: Sequence[Step]) -> Iterable[Markup]:
    """Yield which stages ran more than once, and not always in the same way."""
    for name, group in lineage.by_stage(steps).items():
        unlike = [what for what, way in WAYS.items() if any(way(s) != way(group[0]) for s in group)]
        if unlike:
            differing = "different " + " and ".join(unlike)
            yield Markup("Not all jobs of {} ran alike: {}.").format(name, differing)


def outputs(study: Study) -> Table:
    """Return one row a result: which stage made it, from which commit, when, how long, on what."""
    headings = ["Result", "Stage", "Commit", "Started, UTC", "Time", "Peak memory", "Device"]
    rows = [
        [
            _code(step.result),
            step.stage,
            _commit(step),
            step.cited("started", write=_moment),
            step.cited("wall_seconds", write=duration),
            step.cited("peak_memory_mib", write=mib),
            device(step),
        ]
        for step in study.steps
    ]
    return headings, rows


def machine(study: Study) -> dict[str, str]:
    """Return facts about code and machines; of this page alone, which commit rendered it."""
    facts: dict[str, str] = {"Commit": _agreed(study.steps, _commit)}
    for keys, label in ((("python",), "Python"), (("platform",), "Platform"), (("cpus",), "Cores")):
        facts |= {label: text} if (text := _agreed(study.steps, _under(*keys))) != UNKNOWN else {}
    facts["Devices"] = _agreed(study.steps, device)
    return facts | {"Page rendered by": _code(commit(provenance.collect()))}


def versions(study: Study) -> dict[str, str]:
    """Return the version of each package; several where the stages differ."""
    names = {name for step in study.steps for name in step.record["versions"]}
    return {name: _agreed(study.steps, _under("versions", name)) for name in sorted(names)}


def command(study: Study) -> str:
    """Return the commands that make the study again in a clone of the repository."""
    run = study.config["run"]
    made = [step.record["commit"] for step in study.steps]
    lines = [f"git checkout {made[-1]}"] if made and made[-1] else []
    config = f"cp results/{run}/config.json again.json"
    return "\n".join([*lines, "make setup", config, ".venv/bin/snakemake --configfile again.json"])


def _commit(step: Step) -> str:
    return (
        step.cited("commit", write=lambda _: commit(step.record))
        if (step.record["commit"])
        else UNKNOWN
    )


def _under(*keys: str) -> Callable[[Step], str]:
    def found(step: Step) -> str:
        try:
            return step.cited(*keys)
        except (LookupError, TypeError):
            return UNKNOWN

    return found


def _distinct(steps: Iterable[Step], write: Callable[[Step], str]) -> Found:
    """Return each text that ``write`` makes of a step, with the steps of which it does."""
    found: dict[str, tuple[str, list[Step]]] = {}
    for step in steps:
        text = write(step)
        found.setdefault(str(text), (text, []))[1].append(step)
    return list(found.values())


def _agreed(steps: Iterable[Step], write: Callable[[Step], str]) -> str:
    """Return what all steps say that say anything; with their stages if they differ."""
    found = [pair for pair in _distinct(steps, write) if pair[0] != UNKNOWN]
    if len(found) < 2:
        return found[0][0] if found else UNKNOWN
    return Markup('<span class="several">▲ {}</span>').format(_told(found))


def _told(found: Found) -> Markup:
    """Return each value with the stages that have it."""
    return Markup("; ").join(
        Markup("{} ({})").format(text, _stages(steps)) for text, steps in found
    )


def _stages(steps: Iterable[Step]) -> str:
    """Return the stages of steps, the first few by name."""
    names = [*dict.fromkeys(step.stage for step in steps)]
    return ", ".join(names[:SHOWN]) + (" and others" if len(names) > SHOWN else "")


def _joined(found: Found) -> Markup:
    return Markup(", ").join(text for text, _ in found)


def _code(text: str) -> Markup:
    return Markup("<code>{}</code>").format(text)


def _moment(text: str) -> str:
    """Return a date and time to the second, as people write it."""
    return text[:19].replace("T", " ")
