"""What a study took: time, device-hours and memory."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

from markupsafe import Markup

from legor1.core.format import count, duration
from legor1.core.layout import IN_RUN
from legor1.core.provenance import RECORD
from legor1.report.citation import Cited, Table, cite, pointer, total
from legor1.report.provenance_graph import EVERY, Step
from legor1.report.study import Study

NOT_KNOWN = "not known"
HEADINGS = ["Experiment", "Stage", "Device", "Time", "Device-hours", "Peak memory"]


class Use(NamedTuple):
    """What one stage of an experiment, or of a repeat of it with another seed, took."""

    experiment: str
    stage: str
    device: str
    seconds: Cited  # of its processes, by the clock on the wall
    hours: Cited  # of all its devices, GPUs or cores
    memory: Cited  # peak in MiB, of the GPU where there is one, else resident
    gpu: bool = False


def uses(study: Study) -> list[Use]:
    """Return what training and prediction of each experiment took, as far as it was recorded."""
    names = [name for e in study.experiments for name in (e.name, *study.repeats(e))]
    recorded = (use(study, name) for name in names for use in (_training, _prediction))
    return [use for use in recorded if use]


def table(study: Study) -> Table:
    """Return the uses, their sum for each experiment, all other stages, and the whole."""
    known, rows = uses(study), list[list[str]]()
    for experiment in study.experiments:
        names = (experiment.name, *study.repeats(experiment))
        own = [use for use in known if use.experiment in names]
        rows += ([*use[:-1]] for use in own)
        rows += [_sum(experiment.name, "together", own)] if len(own) > 1 else []
    others = [step for step in study.steps if not step.stage.startswith(("train", "predict"))]
    if others:  # what no experiment has alone
        rest = _recorded("all", "the other stages", others, EVERY)
        known.append(rest)
        rows.append([*rest[:-1]])
    if len(known) > 1:
        rows.append(_sum("all", "sum of all jobs", known))
    return HEADINGS, rows


def device(step: Step) -> str:
    """Return what a step ran on: the GPUs that it saw, else its processor."""

    def names(devices: list[str]) -> str:  # each once, without memory and driver
        return ", ".join(dict.fromkeys(name.partition(",")[0] for name in devices))

    if step.gpu:
        return step.cited("devices", write=names)
    named = step.record["host"]["processor"]
    return step.cited("host", "processor") if named else NOT_KNOWN


def mib(number: float) -> str:
    """Return an amount of memory in MiB."""
    return f"{count(number)} MiB"


def _training(study: Study, name: str) -> Use | None:
    facts, file = study.trainings[name].facts, IN_RUN.training(name)
    if "seconds" not in facts or "peak_memory_mib" not in facts:
        return None
    recipe = facts.get("recipe", {})
    gpu = recipe.get("device") == "cuda"
    seconds = cite(file, facts, "seconds", write=duration)
    memory = cite(file, facts, "peak_memory_mib", write=mib)
    number = facts.get("processes", 1) * (1 if gpu else recipe.get("threads", 1))
    made = [step for step in study.steps if step.result == IN_RUN.adapter(name)]
    trained = [step for step in made if step.stage.startswith("train")]
    hours = number * seconds.value / 3600
    spent = Cited(_hours(hours, gpu), hours, seconds.source, f"hours × {number}")
    return Use(name, "training", _devices(trained), seconds, spent, memory, gpu)


def _prediction(study: Study, name: str) -> Use | None:
    folder = f"predictions/{name}/shards/"
    steps = [step for step in study.steps if step.result.startswith(folder)]
    return _recorded(name, "prediction", steps, f"{folder}*.jsonl{RECORD}") if steps else None


def _recorded(name: str, stage: str, steps: Sequence[Step], file: str) -> Use:
    """Return what the records of some steps, which stand in ``file``, say of them together.

    Of the steps of several stages, the cores are added up; of one stage, all have the same.
    """
    several, records = file == EVERY, [step.record for step in steps]
    of, gpu = f" of {stage}" if several else "", steps[0].gpu and not several
    most = max((gpu and one["peak_gpu_memory_mib"]) or one["peak_memory_mib"] for one in records)
    whole = sum(record["wall_seconds"] for record in records)
    number = 1 if gpu else steps[0].cores
    hours, way = number * whole / 3600, f"hours × {number}"
    if several:
        hours = sum(step.record["wall_seconds"] * step.cores for step in steps) / 3600
        way = f"core-hours{of}"
    source = pointer(file, "wall_seconds")
    seconds = Cited(duration(whole), whole, source, f"sum{of}")
    spent = Cited(_hours(hours, gpu), hours, source, way)
    memory = Cited(mib(most), most, pointer(file, "peak_memory_mib"), f"greatest{of}")
    return Use(name, stage, "cores" if several else _devices(steps), seconds, spent, memory, gpu)


def _devices(steps: Iterable[Step]) -> str:
    return Markup(", ").join(dict.fromkeys(map(device, steps))) or NOT_KNOWN


def _sum(name: str, stage: str, parts: Sequence[Use]) -> list[str]:
    """Return the row of several uses; of their memory, the greatest."""
    by_device = {gpu: [use.hours for use in parts if use.gpu == gpu] for gpu in (True, False)}
    hours = [total(own, partial(_hours, gpu=gpu)) for gpu, own in by_device.items() if own]
    seconds = total((use.seconds for use in parts), duration)
    memory = max((use.memory for use in parts), key=lambda text: float(text.value))
    return [name, stage, "", seconds, Markup(", ").join(hours), memory]


def _hours(hours: float, gpu: bool) -> str:
    number = f"{hours:.2g}" if hours < 10 else count(hours)
    return f"{number} {'GPU' if gpu else 'core'}-h"
