"""What a study took: time, device-hours, memory, and an estimate of its energy."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup

from legor1.core.format import count, duration, energy
from legor1.core.layout import IN_RUN
from legor1.core.provenance import RECORD
from legor1.report.citation import Cited, cite, pointer, total
from legor1.report.figures.chart import Figure, Panel, bars
from legor1.report.provenance_graph import EVERY, Step
from legor1.report.study import Study

BOARDS = {"H100": 700, "H200": 700, "A100": 400, "L40": 350, "A40": 300}  # watts at their limit
CORE = 10  # watts of a processor's core, with its share of memory and machine
PUE = 1.5  # what the building draws for each watt of its machines
REST = "the other stages"
NOT_KNOWN = "not known"
HEADINGS = ["Experiment", "Stage", "Device", "Time", "Device-hours", "Energy", "Peak memory"]
ABOUT = (
    "A training’s time is that of all its attempts, each up to the checkpoint that the next one "
    "went on from; of a prediction that was interrupted, the last attempt alone was timed. "
    "Starting up and loading are not counted for trainings. The energy is an estimate: {}. "
    "The processors beside a GPU are left out of it."
)

Row = list[str]


@dataclass(frozen=True)
class Use:
    """What one stage of an experiment, or of a repeat of it with another seed, took.

    Attributes:
        seconds: of its processes, wall clock.
        memory: peak, in MiB: of the GPU where there is one, else resident.
        hours: of all its devices.
        energy: in watt-hours; None where the device's power is not known.
        gpu: whether the hours are a GPU's; else they are a core's.
    """

    experiment: str
    stage: str
    seconds: Cited
    memory: Cited
    device: str
    hours: Cited
    energy: Cited | None
    gpu: bool = False


def uses(study: Study) -> list[Use]:
    """Return what training and prediction of each experiment took, as far as it was recorded."""
    found = (
        way(study, name)
        for one in study.experiments
        for name in (one.name, *study.repeats(one))
        for way in (_training, _prediction)
    )
    return [use for use in found if use]


def figure(study: Study) -> Figure:
    """Return a panel each for the time, the memory and the energy of trainings and predictions."""
    known = uses(study)
    owner = {name: one for one in study.experiments for name in (one.name, *study.repeats(one))}

    def panel(title: str, note: str, ident: str, values: Sequence[Cited | None]) -> list[Panel]:
        rows = [
            (owner[use.experiment], f"{use.experiment}, {use.stage}", float(one.value), str(one))
            for use, one in zip(known, values, strict=True)
            if one is not None
        ]
        return [(title, note, bars(ident, title, rows))] if rows else []

    greatest = "of the GPU where there is one, else resident"
    panels = [
        *panel("Time", "of the processes, wall clock", "cost-time", [one.seconds for one in known]),
        *panel("Peak memory", greatest, "cost-memory", [one.memory for one in known]),
        *panel("Energy", "an estimate, see above", "cost-energy", [one.energy for one in known]),
    ]
    about = Markup(ABOUT).format(Markup("<code>{}</code>").format(assumptions()))
    if again := resumed(study):
        about += Markup(" Taken up again from a checkpoint: {}.").format(", ".join(again))
    return Figure(panels, *table(study), "What it cost", about)


def table(study: Study) -> tuple[list[str], list[Row]]:
    """Return the uses, their sum for each experiment, all other stages, and the whole."""
    known, rest, rows = uses(study), _rest(study), list[Row]()
    for one in study.experiments:
        names = (one.name, *study.repeats(one))
        own = [use for use in known if use.experiment in names]
        rows += map(_row, own)
        rows += [_sum(one.name, "together", own)] if len(own) > 1 else []
    rows += map(_row, rest)
    if len(known + rest) > 1:
        rows.append(_sum("all", "the whole study", known + rest))
    return HEADINGS, rows


def assumptions() -> str:
    """Return how the energy is estimated."""
    boards = ", ".join(f"{name} {watts} W" for name, watts in BOARDS.items())
    return (
        f"power × devices × time × PUE, with {CORE} W a core in use, a GPU at its board’s limit "
        f"({boards}), and a PUE of {PUE}"
    )


def resumed(study: Study) -> list[str]:
    """Return the experiments whose training went on from a checkpoint."""
    return [name for name, training in study.trainings.items() if training.facts.get("resumed")]


def device(step: Step) -> str:
    """Return what a step ran on: the GPUs that it saw, else its processor."""
    if step.gpu:
        return step.cited("devices", write=_names)
    named = step.record["host"]["processor"]
    return step.cited("host", "processor") if named else NOT_KNOWN


def _names(devices: list[str]) -> str:
    """Return each name once, without memory and driver."""
    return ", ".join(dict.fromkeys(one.partition(",")[0] for one in devices))


def _training(study: Study, name: str) -> Use | None:
    facts, file = study.trainings[name].facts, IN_RUN.training(name)
    if "seconds" not in facts or "peak_memory_mib" not in facts:
        return None
    recipe, gpu = facts.get("recipe", {}), facts.get("recipe", {}).get("device") == "cuda"
    seconds = cite(file, facts, "seconds", write=duration)
    memory = cite(file, facts, "peak_memory_mib", write=mib)
    number = facts.get("processes", 1) * (1 if gpu else recipe.get("threads", 1))
    steps = [
        step
        for step in study.steps
        if step.result == IN_RUN.adapter(name) and step.stage.startswith("train")
    ]
    return _use(name, "training", seconds, memory, _devices(steps), number, gpu)


def _prediction(study: Study, name: str) -> Use | None:
    folder = f"predictions/{name}/shards/"
    steps = [step for step in study.steps if step.result.startswith(folder)]
    if not steps:
        return None
    file, records = f"{folder}*.jsonl{RECORD}", [step.record for step in steps]
    most = max(one["peak_gpu_memory_mib"] or one["peak_memory_mib"] for one in records)
    whole = sum(one["wall_seconds"] for one in records)
    seconds = Cited(duration(whole), whole, pointer(file, "wall_seconds"), "sum")
    memory = Cited(mib(most), most, pointer(file, "peak memory"), "greatest")
    gpu = steps[0].gpu
    number = 1 if gpu else steps[0].cores
    return _use(name, "prediction", seconds, memory, _devices(steps), number, gpu)


def _use(
    experiment: str,
    stage: str,
    seconds: Cited,
    memory: Cited,
    devices: Sequence[str],
    number: int,
    gpu: bool,
) -> Use:
    watts = {_watts(device) for device in devices} if gpu else {CORE}
    hours, used = number * seconds.value / 3600, None
    if len(watts) == 1 and (each := watts.pop()):
        how = f"Wh of {number} × {each} W, PUE {PUE}"
        used = Cited(energy(each * PUE * hours), each * PUE * hours, seconds.source, how)
    spent = Cited(_hours(hours, gpu), hours, seconds.source, f"hours × {number}")
    name = Markup(", ").join(devices) or NOT_KNOWN
    return Use(experiment, stage, seconds, memory, name, spent, used, gpu)


def _devices(steps: Sequence[Step]) -> list[str]:
    return [*{str(name): name for name in map(device, steps)}.values()]


def _watts(name: str) -> int | None:
    """Return a GPU's power by its name; that of no other begins like one of these."""
    return next((w for board, w in BOARDS.items() if re.search(rf"{board}(?!\d)", name)), None)


def _rest(study: Study) -> list[Use]:
    """Return what the stages took that no experiment has alone: one use, none without records."""
    steps = [one for one in study.steps if not one.stage.startswith(("train", "predict"))]
    if not steps:
        return []
    where, seconds = pointer(EVERY, "wall_seconds"), sum(s.record["wall_seconds"] for s in steps)
    hours = sum(step.record["wall_seconds"] * step.cores for step in steps) / 3600
    most, used = max(s.record["peak_memory_mib"] for s in steps), CORE * PUE * hours
    return [
        Use(
            "all",
            REST,
            Cited(duration(seconds), seconds, where, f"sum of {REST}"),
            Cited(mib(most), most, pointer(EVERY, "peak_memory_mib"), f"greatest of {REST}"),
            "cores",
            Cited(_hours(hours, False), hours, where, f"core-hours of {REST}"),
            Cited(energy(used), used, where, f"Wh of {REST}, {CORE} W a core, PUE {PUE}"),
        )
    ]


def _row(use: Use) -> Row:
    energy = use.energy or NOT_KNOWN
    return [use.experiment, use.stage, use.device, use.seconds, use.hours, energy, use.memory]


def _sum(name: str, stage: str, parts: Sequence[Use]) -> Row:
    """Return the row of several uses; of their memory, the greatest."""
    hours = []
    for gpu in (True, False):
        if own := [use.hours for use in parts if use.gpu == gpu]:
            hours.append(total(own, partial(_hours, gpu=gpu)))
    energies = [use.energy for use in parts]
    known = [one for one in energies if one is not None]
    used = total(known, energy) if len(known) == len(energies) else NOT_KNOWN
    seconds = total((use.seconds for use in parts), duration)
    memory = max((use.memory for use in parts), key=lambda one: float(one.value))
    return [name, stage, "", seconds, Markup(", ").join(hours), used, memory]


def _hours(hours: float, gpu: bool) -> str:
    number = f"{hours:.2g}" if hours < 10 else count(hours)
    return f"{number} {'GPU' if gpu else 'core'}-h"


def mib(number: float) -> str:
    """Return an amount of memory in MiB."""
    return f"{count(number)} MiB"
