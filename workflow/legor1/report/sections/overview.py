"""Plain facts about a study: what was run, with what, how certain the numbers are, and hashes."""

from collections import Counter
from collections.abc import Iterator
from functools import partial

from legor1.core import provenance
from legor1.core.format import count
from legor1.core.layout import IN_RUN
from legor1.evaluation import suites
from legor1.published import defects
from legor1.publishing import outputs
from legor1.publishing.outputs import Output
from legor1.report.citation import Cited, Record, cite, counted, pointer, total
from legor1.report.study import Experiment, Study
from legor1.tasks.discovery import TASKS

STAND_INS = ("shipped", "rebuild")  # sources of the tiny base model
NOT_INPUTS = ("tables", "gallery_images")  # made together with the report


def training_seeds(study: Study) -> list[Cited]:
    """Return the seeds of the trainings, the run's own first."""
    cited = partial(cite, study.config_file, study.config)
    blocks = study.config["experiments"].items()
    seeds = (cited("experiments", name, "seed") for name, block in blocks if "repeats" in block)
    return [cited("seed"), *{seed.value: seed for seed in seeds}.values()]


def is_demonstration(study: Study) -> bool:
    """Tell whether data or model stand in for the real ones."""
    config = study.config
    return config["base"]["source"] in STAND_INS or config["dataset"]["source"] == "synthetic"


def taught(study: Study, experiment: Experiment) -> list[str]:
    """Return the names of the tasks that an experiment is trained on."""
    if experiment not in study.trained:
        return []
    return [*study.settings(experiment).get("tasks", TASKS)]


def steps_in_all(study: Study, name: str) -> Cited | None:
    """Return the steps of a training and of those that it starts from, None if one is unknown."""
    parts: list[Cited] = []
    while name:
        training = study.trainings.get(name)
        if training is None or "steps" not in training.facts:
            return None
        parts.append(cite(IN_RUN.training(name), training.facts, "steps", write=count))
        name = study.config["experiments"].get(name, {}).get("start_from") or ""
    return total(parts, count)


def flat(file: str, content: object, *keys: str, name: str = "") -> dict[str, str]:
    """Return what stands under ``keys`` as one mapping: keys joined by dots → values as text."""
    cited = cite(file, content, *keys, write=_text)
    if not isinstance(cited.value, dict):
        return {name: cited}
    settings: dict[str, str] = {}
    for key in cited.value:
        settings |= flat(file, content, *keys, key, name=f"{name}.{key}" if name else str(key))
    return settings


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return "none" if value is None else str(value)


def quarantine(study: Study) -> list[list[str]]:
    """Return one row a reason: why rows of the dataset were set aside, and how many."""
    set_aside = {pointer(IN_RUN.data.quarantine, "*", "reason"): study.quarantine}
    for name, split in list(study.splits.items())[:1]:  # the others leave out the same
        where = pointer(IN_RUN.data.split(name), "left_out", "*", "reason")
        set_aside[where] = split.get("left_out", [])
    return [
        [reason, counted(n, where, f"how many are {reason}")]
        for where, rows in set_aside.items()
        for reason, n in Counter(str(row["reason"]) for row in rows).most_common()
    ]


def confidence(study: Study) -> Cited:
    """Return the confidence of the intervals as whole percent, unbroken."""
    cited = partial(cite, study.config_file, study.config, "evaluation", "confidence")
    return cited(write=lambda fraction: f"{100 * fraction:.0f}\N{NO-BREAK SPACE}%")


def probes(study: Study) -> Iterator[tuple[Experiment, int, Record]]:
    """Yield what a probe earned and its number, of the rewards that an experiment is trained by."""
    for e in study.experiments:
        trained_by = {*map(suites.label, study.settings(e).get("training", {}).get("rewards", {}))}
        for i, earned in enumerate(study.probes[e.name].get("probes", [])):
            if earned["reward"] in trained_by:
                yield e, i, earned


def switches(study: Study, protocol: str) -> str:
    """Return the defects that a protocol of data preparation switches on."""
    chosen = defects.chosen(study.config["protocols"][protocol]["defects"])
    return ", ".join(sorted(chosen)) or "none"


def hashes(study: Study) -> dict[str, Output]:
    """Return every output that the report was made from, as DVC knows it; none while jobs run."""
    listed = [] if study.missing else outputs.listed(study.folder)  # till then they come and go
    inputs = [name for name in listed if not name.endswith((".html", provenance.RECORD))]
    return outputs.hashed(study.folder, [name for name in inputs if name not in NOT_INPUTS])
