"""The configuration of a run: ``config.yaml``, overlays merged onto it, checked.

config = load(Path("config.yaml"), read("workflow/configs/demo.yaml"))
"""

import copy
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from legor1.config import ablation
from legor1.config.models import Base, Config, Dataset, Experiment, GrpoTraining, Trained, Training
from legor1.config.validation_errors import alternatives, validated
from legor1.core.errors import UserError, no_such
from legor1.evaluation import suites
from legor1.evaluation.suites import SUITES
from legor1.published import defects
from legor1.tasks import baselines
from legor1.tasks.discovery import TASKS

# Merged key by key, an overlay could not leave out an experiment or a setting of it.
REPLACED_WHOLE = "experiments"


def load(base: Path | str, *overlays: Mapping[str, object]) -> dict[str, Any]:
    """Return the config in ``base`` with the overlays merged onto it, as ``check`` does.

    Mappings are merged key by key. ``experiments`` is the exception: an overlay that has it has
    all of them, so ``base``'s are dropped.
    """
    overlay: dict[str, object] = {}
    for further in overlays:
        overlay = merge(overlay, further)
    config = read(base)
    if overlay.get(REPLACED_WHOLE):
        config.pop(REPLACED_WHOLE, None)
    return check(merge(config, overlay))


def read(source: Path | str) -> dict[str, object]:
    """Return the mapping in a YAML file, or in ``source`` itself if that is JSON text.

    A UserError says where it cannot be read, holds no mapping, or has a key twice in one.
    """
    text, name = str(source), str(source)
    if text.lstrip().startswith("{"):
        name = "the JSON text"
    else:
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UserError(
                f"{source} cannot be read: {error}. Remedy: name an existing YAML file in UTF-8."
            ) from error
    try:
        value = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name}, line {mark.line + 1}" if mark else name
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UserError(
            f"{place} cannot be read as YAML: {reason}. Remedy: correct that place."
        ) from error
    if not isinstance(value, dict):
        raise UserError(f"{name} holds no keys and values. Remedy: write `key: value` lines.")
    return value


class _Loader(yaml.SafeLoader):
    """Reads YAML in which a mapping has each key once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if (name := str(key.value)) in lines:
                problem = f"the key {name} is in line {lines[name]} already"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            lines[name] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


def merge(base: Mapping[str, object], overlay: Mapping[str, object]) -> dict[str, object]:
    """Return ``base`` with ``overlay`` merged onto it, key by key; neither is changed."""
    merged = dict(base)
    for key, value in overlay.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            value = merge(below, value)
        merged[key] = value
    return copy.deepcopy(merged)


def check(config: Mapping[str, object]) -> dict[str, Any]:
    """Return what ``typed`` makes of ``config``, as keys and values."""
    return typed(config).as_mapping()


def typed(config: Mapping[str, object]) -> Config:
    """Return ``config`` as an object: defaults filled in, of ``columns`` alone, with all repeats.

    A UserError names all keys that are unknown or missing, and all values that are wrong.
    """
    wrong = "the config has errors"
    settings: Config = validated(Config, config, wrong)
    if problems := dict.fromkeys(_contradictions(settings)):
        raise UserError(f"{wrong}:\n  " + "\n  ".join(problems))
    names = settings.columns or settings.experiments
    experiments = {name: settings.experiments[name] for name in names}
    experiments |= {
        name: block.model_copy(update={"lora": settings.lora_of(name)})
        for name, block in experiments.items()
        if isinstance(block, Trained)
    }
    settings = settings.model_copy(update={"experiments": experiments})
    return settings.model_copy(update={"experiments": experiments | _repeats(settings)})


def family(config: Mapping[str, Any], experiment: str) -> str:
    """Return the experiment that ``experiment`` repeats with another seed; itself if none."""
    return str(config["experiments"].get(experiment, {}).get("repeats", experiment))


def _repeats(config: Config) -> dict[str, Experiment]:
    """Return a repeat of each training, from start to end of a chain, for each further seed."""
    trained = {n: block for n, block in config.experiments.items() if isinstance(block, Trained)}
    repeated = {name: block for name, block in trained.items() if block.repeats is None}
    repeats: dict[str, Experiment] = {}
    for name, block in repeated.items():
        for seed in config.seeds:
            own = {"seed": seed, "repeats": name}
            if block.start_from in repeated:
                own["start_from"] = f"{block.start_from}_seed{seed}"
            repeats[f"{name}_seed{seed}"] = block.model_copy(update=own)
    return repeats


def _contradictions(config: Config) -> Iterator[str]:
    """Yield what is wrong between keys that are right one by one."""
    sources: dict[str, Dataset | Base] = {"dataset": config.dataset, "base": config.base}
    for name, block in sources.items():
        if block.source != "shipped" and not getattr(block, block.source):
            where = f"{name}.{block.source}"
            yield f"{where} is missing. Remedy: add it, or choose another {name}.source."
    if config.device == "cpu" and config.attention == "flash_attention_2":
        yield "attention: flash_attention_2 needs a GPU. Remedy: set `attention: sdpa`."
    if config.pixel_budget.min_pixels > config.pixel_budget.max_pixels:
        yield "pixel_budget: min_pixels exceeds max_pixels. Remedy: swap them."
    for name in config.columns or ():
        if name not in config.experiments:
            remedy = f"name some of {', '.join(config.experiments)}"
            yield _missing("columns", "experiment {!r}", name, config.experiments, remedy)
    if config.seed in config.seeds:
        yield f"seeds: {config.seed} is the run's seed. Remedy: name other ones."
    for name, repeat in _repeats(config).items():
        if config.experiments.get(name, repeat) != repeat:
            yield f"experiments.{name}: seeds makes one of this name. Remedy: rename yours."
    for name, protocol in config.protocols.items():
        try:
            defects.chosen(protocol.defects)
        except UserError as error:
            yield f"protocols.{name}.defects: {error}"
    for name, experiment in config.experiments.items():
        yield from _experiment_contradictions(config, name, experiment)
    yield from _ablation_contradictions(config)


def _ablation_contradictions(config: Config) -> Iterator[str]:
    """Yield what is wrong with the ablation, or with an experiment that it makes."""
    wrong = list(ablation.problems(config))
    yield from wrong
    if wrong or config.ablation is None:
        return
    try:
        made = ablation.expanded(config)
    except UserError as error:
        yield str(error)
        return
    for name, experiment in made.experiments.items():
        for problem in _experiment_contradictions(made, name, experiment):
            yield f"ablation: {problem}"


def _experiment_contradictions(config: Config, name: str, experiment: Experiment) -> Iterator[str]:
    where = f"experiments.{name}"
    if name in baselines.NAMES:
        yield (
            f"{where}: a baseline that needs no model has this name, and is always scored. "
            "Remedy: rename the experiment."
        )
    if experiment.protocol not in config.protocols:
        path, named, known = f"{where}.protocol", experiment.protocol, config.protocols
        remedy = f"name one of {', '.join(known) or 'protocols, which is empty'}, or add it there"
        yield _missing(path, "{!r} among protocols", named, known, remedy)
    inference, own = config.inference_of(name), experiment.inference is not None
    if (inference.batch_size is None) == (inference.batch_tokens is None):
        yield (
            f"{where + '.' if own else ''}inference: the size of a batch is not clear. "
            "Remedy: give either batch_tokens or batch_size, and null for the other."
        )
    budget = config.tested_at(name)
    if inference.pixel_budget and budget.min_pixels > budget.max_pixels:
        yield f"{where}: min_pixels of inference exceeds max_pixels. Remedy: give both."
    budget = config.pixel_budget_of(name)
    if experiment.pixel_budget and budget.min_pixels > budget.max_pixels:
        yield (
            f"{where}.pixel_budget: min_pixels exceeds max_pixels. "
            "Remedy: give both, the smaller first."
        )
    if isinstance(experiment, Trained):
        yield from _start_contradictions(config, name, experiment)
        for task in experiment.tasks:
            if task not in TASKS:
                remedy = f"choose {alternatives(TASKS)}"
                yield _missing(f"{where}.tasks", "task {!r}", task, TASKS, remedy)
        yield from _training_contradictions(
            f"{where}.training", experiment.training, config.processes
        )


def _start_contradictions(config: Config, name: str, experiment: Trained) -> Iterator[str]:
    """Yield why an experiment's adapter cannot go on from that of ``start_from``."""
    where, start, lora = f"experiments.{name}", experiment.start_from, experiment.lora
    trained = [n for n, e in config.experiments.items() if isinstance(e, Trained) and n != name]
    given = config.lora_of(start or "")
    if not (start or lora):
        yield f"{where}.lora is missing. Remedy: add it."
    elif config.line_of(name)[-1].start_from == name:
        yield f"{where}.start_from leads back to {name}. Remedy: leave it out of one of them."
    elif start and start not in trained:
        path, remedy = f"{where}.start_from", "name one with an adapter, or leave it out"
        yield _missing(path, "trained experiment {!r}", start, trained, remedy)
    elif lora and given and (lora.r, lora.alpha) != (given.r, given.alpha):
        yield (
            f"{where}.lora: the adapter of {start}, which it continues, has r {given.r} and alpha "
            f"{given.alpha}. Remedy: write the same, or leave lora out to take it over."
        )
    elif start and name in (config.columns or ()) and start not in (config.columns or ()):
        yield f"columns: {name} starts from {start}. Remedy: add {start}, or drop {name}."


def _missing(path: str, what: str, name: str, known: Collection[str], remedy: str) -> str:
    return f"{path}: {no_such(what.format(name), name, known, remedy)}"


def _training_contradictions(path: str, training: Training, processes: int) -> Iterator[str]:
    if (training.steps is None) == (training.epochs is None):
        yield f"{path}: the length is not clear. Remedy: give either steps or epochs."
    if not isinstance(training, GrpoTraining):
        return
    yield from _reward_contradictions(f"{path}.rewards", training)
    passes = training.accumulation * processes
    completions = training.batch_size * passes
    if completions % training.generations:
        yield (
            f"{path}: {completions} completions a step (batch_size × accumulation × processes)"
            f" do not make whole groups of {training.generations}. "
            "Remedy: make it a multiple of generations."
        )
    if training.loss_type == "bnpo" and passes > 1:
        yield (
            f"{path}.loss_type: bnpo averages over the tokens of one forward pass, so the update of"
            f" a step of {passes} (accumulation × processes) would depend on how it is split. "
            "Remedy: set loss_type: dapo, the mean over all tokens of the step."
        )


def _reward_contradictions(path: str, training: GrpoTraining) -> Iterator[str]:
    known, names = list(SUITES[training.suite].rewards), list(training.rewards)
    for name in names:
        if suites.is_own(name):
            try:
                suites.source(name)
            except UserError as error:
                yield f"{path}: {error}"
        elif name not in known:
            what = f"{{!r}} in the suite {training.suite}"
            others = "another suite, or one of your own by path/to/file.py:function"
            yield _missing(path, what, name, known, f"use {alternatives(known)}, {others}")
    labels = [suites.label(name) for name in names]
    for label in sorted({label for label in labels if labels.count(label) > 1}):
        yield f"{path}: two rewards are called {label!r}. Remedy: rename the function."
