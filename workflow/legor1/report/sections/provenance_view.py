"""Where the results come from: commits, versions, devices, dates and seeds, by the records."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from markupsafe import Markup

from legor1.core import provenance
from legor1.core.format import duration
from legor1.report import provenance_graph
from legor1.report.citation import Cited, cite
from legor1.report.provenance_graph import Step
from legor1.report.sections.costs import device, mib
from legor1.report.study import Study

UNKNOWN = "not recorded"
SHOWN = 3  # files or stages that a warning names
WAYS: dict[str, Callable[[Step], Any]] = {  # in which the jobs of a stage should be alike
    "code": lambda step: step.record["code_sha256"],
    "versions of packages": lambda step: step.record["versions"],
    "devices": device,
}
# What a stage draws by the seed in its record.
DRAWN = {
    "synthesize": "the manuals, as they are drawn",
    "split": "which manuals are for testing",
    "convert": "demonstrations, and the order of rows",
    "build-base": "the tiny base model",
    "train sft": "rows and their order, LoRA’s start, dropout",
    "train grpo": "rows and their order, LoRA’s start, dropout, rollouts",
    "predict": "answers, where they are sampled",
    "score": "the bootstrap of intervals",
    "compare": "the bootstrap and the swaps of comparisons",
}
GALLERY = "examples of the gallery that are shown at random"

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
        (
            provenance_graph.broken(study.folder, steps),
            "These files have changed since they were made",
        ),
        (
            provenance_graph.unrecorded(study.folder, steps),
            "No record says how these files were made",
        ),
    ):
        if files:
            more = " and others" if len(files) > SHOWN else ""
            named = Markup(", ").join(map(_code, files[:SHOWN]))
            said.append(Markup("{}: {}{}.").format(what, named, more))
    return said


def _unlike(steps: Sequence[Step]) -> Iterable[Markup]:
    """Yield which stages ran more than once, and not always in the same way."""
    for name, group in provenance_graph.by_stage(steps).items():
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
            step.cited("started", write=lambda text: text[:19].replace("T", " ")),
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


def seeds(study: Study) -> Table:
    """Return what was drawn by a seed: by which seed, in which stage, for which results."""
    rows: list[list[str]] = []
    for stage, steps in provenance_graph.by_stage(study.steps).items():
        if stage in DRAWN:
            rows += [[DRAWN[stage], seed, stage, ", ".join(of)] for seed, of in _drawn(steps)]
    gallery = cite(study.config_file, study.config, "seed")
    return ["What was drawn", "Seed", "Stage", "For"], [*rows, [GALLERY, gallery, "report", ""]]


def _drawn(steps: list[Step]) -> list[tuple[Cited, list[str]]]:
    """Return each seed of a stage, with the experiments or folders that it was used for."""
    found: dict[int, tuple[Cited, list[str]]] = {}
    for step in steps:
        if step.record["seed"] is not None:
            seed = step.cited("seed")
            names = found.setdefault(seed.value, (seed, []))[1]
            names += [name for name in [_for(step)] if name not in names]
    return list(found.values())


def _for(step: Step) -> str:
    """Return the experiment, or else the folder, that a result belongs to."""
    parts = step.result.split("/")
    return parts[1] if parts[0] in ("adapters", "predictions", "scores") else parts[0]


def command(study: Study) -> str:
    """Return the commands that make the study again in a clone of the repository."""
    run = study.config["run"]
    made = [step.record["commit"] for step in study.steps]
    lines = [f"git checkout {made[-1]}"] if made and made[-1] else []
    config = f"cp results/{run}/config.json again.json"
    return "\n".join([*lines, "make setup", config, ".venv/bin/snakemake --configfile again.json"])


def _commit(step: Step) -> str:
    text = commit(step.record)
    return text if text == UNKNOWN else step.cited("commit", write=lambda _: text)


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
