"""The configuration of a run: ``config.yaml``, overlays merged onto it, checked against the schema.

config = load(Path("config.yaml"), read("workflow/configs/demo.yaml"))
"""

import contextlib
import copy
import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from legor1.config import strict_yaml
from legor1.core.errors import UserError
from legor1.evaluation import suites
from legor1.evaluation.suites import SUITES
from legor1.published import defects
from legor1.tasks import baselines
from legor1.tasks.discovery import TASKS

SCHEMA = Path(__file__).parents[2] / "schemas" / "config.schema.json"
# Merged key by key, an overlay could not leave out an experiment or a setting of it.
REPLACED_WHOLE = "experiments"
LARGEST = 2**32 - 1  # of whole numbers: NumPy takes no larger seed
TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "keys and values",
    "null": "null",
}

Config = dict[str, Any]


def load(base: Path | str, *overlays: Mapping[str, Any]) -> Config:
    """Return the config in ``base`` with the overlays merged onto it, defaults filled, checked.

    Mappings are merged key by key. ``experiments`` is the exception: an overlay that has it has
    all of them, so ``base``'s are dropped.

    Raises:
        UserError: a key is unknown or missing, or a value is wrong; all such are named.
    """
    overlay: Config = {}
    for one in overlays:
        overlay = merge(overlay, one)
    config = read(base)
    if overlay.get(REPLACED_WHOLE):
        config.pop(REPLACED_WHOLE, None)
    return check(merge(config, overlay))


def read(source: Path | str) -> Config:
    """Return the mapping in a YAML file, or in ``source`` itself if that is JSON text.

    Raises:
        UserError: there is no such file, it holds no mapping, or a key is in one mapping twice.
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
        value = strict_yaml.load(text)
    except strict_yaml.ERRORS as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name}, line {mark.line + 1}" if mark else name
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UserError(
            f"{place} cannot be read as YAML: {reason}. Remedy: correct that place."
        ) from error
    if not isinstance(value, dict):
        raise UserError(f"{name} holds no keys and values. Remedy: write `key: value` lines.")
    return value


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> Config:
    """Return ``base`` with ``overlay`` merged onto it, key by key; neither is changed."""
    merged = dict(base)
    for key, value in overlay.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            value = merge(merged[key], value)
        merged[key] = value
    return copy.deepcopy(merged)


def check(config: Config) -> Config:
    """Return a copy of ``config``: defaults filled in, of ``columns`` alone, with all repeats.

    Raises:
        UserError: a key is unknown or missing, or a value is wrong; all such are named.
    """
    config = copy.deepcopy(config)
    wrong = problems(config, schema()) or list(dict.fromkeys(_contradictions(config)))
    if wrong:
        raise UserError("the config has errors:\n  " + "\n  ".join(wrong))
    if config.get("columns"):
        config["experiments"] = {name: config["experiments"][name] for name in config["columns"]}
    config["experiments"] |= _repeats(config)
    return config


def schema() -> dict[str, Any]:
    """Return the JSON schema of a config."""
    content: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return content


def problems(settings: Config, schema: dict[str, Any]) -> list[str]:
    """Fill the defaults into ``settings``; return a line for each unknown or wrong value."""
    errors = _filling_validator(schema).iter_errors(settings)
    described = [_describe(error) for error in sorted(errors, key=lambda e: str(e.json_path))]
    return list(dict.fromkeys([*chain.from_iterable(described), *_beyond(settings)]))


def family(config: Mapping[str, Any], experiment: str) -> str:
    """Return the experiment that ``experiment`` is once more, with another seed; else itself."""
    return str(config["experiments"].get(experiment, {}).get("repeats", experiment))


def _repeats(config: Config) -> dict[str, Config]:
    """Return each training once more for each further seed, as in ``sft_seed43``."""
    return {
        f"{name}_seed{seed}": experiment | {"seed": seed, "repeats": name}
        for name, experiment in config["experiments"].items()
        if experiment["method"] != "baseline" and "repeats" not in experiment
        for seed in config["seeds"]
    }


def own(config: Mapping[str, Any], experiment: str, block: str) -> Config:
    """Return ``pixel_budget`` or ``inference`` as an experiment has it: the run's, but for its own.

    Args:
        config: resolved.
        experiment: a name in it.
        block: one of the two.
    """
    return {**config[block], **config["experiments"][experiment].get(block, {})}


def _filling_validator(schema: dict[str, Any]) -> Any:
    """Return a validator that also writes in what it checks: defaults, and numbers for text.

    It is stricter than others in two points: 2.0 is no whole number, and nothing may follow a
    pattern's ``$``, not even the newline that Python admits there.
    """
    check_properties = Draft202012Validator.VALIDATORS["properties"]
    check_pattern = Draft202012Validator.VALIDATORS["pattern"]

    def fill(validator: Any, properties: Any, instance: Any, within: Any) -> Iterator[Any]:
        free = within.get("additionalProperties")
        others = dict.fromkeys(instance, free) if free and isinstance(instance, dict) else {}
        for name, of in (others | properties).items() if isinstance(instance, dict) else ():
            of = schema["$defs"].get(of.get("$ref", "").rpartition("/")[2], {}) | of
            if name in instance:
                instance[name] = _typed(instance[name], of)
            elif of.get("default") is not None:
                instance[name] = copy.deepcopy(of["default"])
        yield from check_properties(validator, properties, instance, within)

    def match(validator: Any, pattern: str, instance: Any, within: Any) -> Iterator[Any]:
        yield from check_pattern(validator, re.sub(r"\$$", r"\\Z", pattern), instance, within)

    return jsonschema.validators.extend(
        Draft202012Validator,
        {"properties": fill, "pattern": match},
        type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
            "integer", lambda _, value: type(value) is int
        ),
    )(schema)


def _beyond(value: Any, path: str = "") -> Iterator[str]:
    """Yield which numbers no setting can have, wherever they are: NaN, infinity, huge integers."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _beyond(inner, _join(path, str(key)))
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{path}: {value} is not a finite number. Remedy: write one, such as 0.5."
    elif isinstance(value, int) and abs(value) > LARGEST:
        yield f"{path}: the number is too large. Remedy: write at most {LARGEST}."


def _typed(value: Any, of: Mapping[str, Any]) -> Any:
    """Return ``value`` as what its schema ``of`` wants, if it is text that says such a value.

    YAML reads ``1e-4`` as text, and Snakemake everything inside ``--config block={…}``.
    """
    readers: dict[str, Callable[[str], Any]] = {
        "integer": int,
        "number": float,
        "boolean": {"true": True, "false": False}.__getitem__,
    }
    wanted = of.get("type")
    if isinstance(value, list):
        return [_typed(one, of.get("items", {})) for one in value]
    if isinstance(value, str) and isinstance(wanted, str) and wanted in readers:
        with contextlib.suppress(KeyError, ValueError):
            return readers[wanted](value)
    return value


def _describe(error: ValidationError) -> list[str]:
    """Return one line a problem: the key's path, what is wrong, and the remedy."""
    path = ".".join(map(str, error.absolute_path))
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        return [_unknown(path, key, known) for key in error.instance if key not in known]
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return [f"{_join(path, key)} is missing. Remedy: add it." for key in missing]
    if error.validator == "enum":
        choices = list(map(str, error.validator_value))
        near = difflib.get_close_matches(str(error.instance), choices, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        return [f"{path}: there is no {error.instance!r}.{hint} Remedy: choose {_or(choices)}."]
    return [f"{path}: {_wrong(error)}"]


def _unknown(path: str, key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(str(key), known, 1, cutoff=0)
    return (
        f"unknown key {_join(path, key)}. Did you mean {near[0]}? "
        f"Remedy: correct or remove it; known here: {', '.join(known)}."
    )


def _wrong(error: ValidationError) -> str:
    value, meaning = error.instance, error.schema.get("description", "")
    meaning = meaning and f" ({meaning})"
    if error.validator != "type":
        return f"{error.message}. Remedy: choose another value{meaning}."
    wanted = error.validator_value
    words = _or(TYPES[one] for one in ([wanted] if isinstance(wanted, str) else wanted))
    return f"{value!r} is not {words}. Remedy: write {words}{meaning}."


def _or(choices: Iterable[Any]) -> str:
    return " or ".join(map(str, choices))


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else str(key)


def _contradictions(config: Config) -> Iterator[str]:
    """Yield what is wrong between keys that are right one by one."""
    if (Path("results") / config["run"]).is_file():
        yield f"run: results/{config['run']} is a file. Remedy: give the run another name."
    yield from _unknown_tasks(config)
    for block in ("dataset", "base"):
        source = config[block]["source"]
        if source != "shipped" and not config[block].get(source):
            yield f"{block}.{source} is missing. Remedy: add it, or choose another {block}.source."
    if config["device"] == "cpu" and config["attention"] == "flash_attention_2":
        yield "attention: flash_attention_2 needs a GPU. Remedy: set `attention: sdpa`."
    if config["pixel_budget"]["min_pixels"] > config["pixel_budget"]["max_pixels"]:
        yield "pixel_budget: min_pixels exceeds max_pixels. Remedy: swap them."
    for name in config.get("columns") or ():
        if name not in config["experiments"]:
            yield (
                f"columns: there is no experiment {name!r}. Did you mean "
                f"{defects.nearest(name, config['experiments'])}? "
                f"Remedy: name some of {', '.join(config['experiments'])}."
            )
    if config["seed"] in config["seeds"]:
        yield f"seeds: {config['seed']} is the run's seed. Remedy: name other ones."
    for name, repeat in _repeats(config).items():
        if config["experiments"].get(name, repeat) != repeat:
            yield f"experiments.{name}: seeds makes one of this name. Remedy: rename yours."
    for name, protocol in config["protocols"].items():
        try:
            defects.chosen(protocol["defects"])
        except UserError as error:
            yield f"protocols.{name}.defects: {error}"
    for name, experiment in config["experiments"].items():
        if name in baselines.NAMES:
            yield (
                f"experiments.{name}: a baseline that needs no model has this name, and is always "
                "scored. Remedy: rename the experiment."
            )
        if experiment["protocol"] not in config["protocols"]:
            yield _no_protocol(name, experiment["protocol"], list(config["protocols"]))
        if family(config, name) not in config["experiments"]:
            yield (
                f"experiments.{name}.repeats: there is no experiment {experiment['repeats']!r}. "
                "Remedy: name one of the config, or leave it out."
            )
        inference = own(config, name, "inference")
        if (inference["batch_size"] is None) == (inference["batch_tokens"] is None):
            where = f"experiments.{name}.inference" if "inference" in experiment else "inference"
            yield (
                f"{where}: the size of a batch is not clear. "
                "Remedy: give either batch_tokens or batch_size, and null for the other."
            )
        budget = own(config, name, "pixel_budget")
        if "pixel_budget" in experiment and budget["min_pixels"] > budget["max_pixels"]:
            yield (
                f"experiments.{name}.pixel_budget: min_pixels exceeds max_pixels. "
                "Remedy: give both, the smaller first."
            )
        yield from training_contradictions(
            f"experiments.{name}.training", experiment, config["processes"]
        )


def _no_protocol(experiment: str, protocol: str, known: list[str]) -> str:
    near = f" Did you mean {defects.nearest(protocol, known)}?" if known else ""
    return (
        f"experiments.{experiment}.protocol: there is no {protocol!r} among protocols.{near} "
        f"Remedy: name one of {', '.join(known) or 'protocols, which is empty'}, or add it there."
    )


def training_contradictions(path: str, experiment: Config, processes: int) -> Iterator[str]:
    """Yield what is wrong between keys of an experiment's ``training``, found at ``path``."""
    training = experiment.get("training")
    if training is None:
        return
    if ("steps" in training) == ("epochs" in training):
        yield f"{path}: the length is not clear. Remedy: give either steps or epochs."
    if "suite" in training:
        yield from _reward_contradictions(f"{path}.rewards", training)
    if "generations" in training:
        completions = training["batch_size"] * training["accumulation"] * processes
        if completions % training["generations"]:
            yield (
                f"{path}: {completions} completions a step (batch_size × accumulation × processes)"
                f" do not make whole groups of {training['generations']}. "
                "Remedy: make it a multiple of generations."
            )
    passes = training["accumulation"] * processes
    if training.get("loss_type") == "bnpo" and passes > 1:
        yield (
            f"{path}.loss_type: bnpo averages over the tokens of one forward pass, so the update of"
            f" a step of {passes} (accumulation × processes) would hang on how it is split. "
            "Remedy: set loss_type: dapo, the mean over all tokens of the step."
        )


def _reward_contradictions(path: str, training: Config) -> Iterator[str]:
    known, names = list(SUITES[training["suite"]].rewards), list(training["rewards"])
    for name in names:
        if suites.is_own(name):
            try:
                suites.source(name)
            except UserError as error:
                yield f"{path}: {error}"
        elif name not in known:
            elsewhere = any(name in suite.rewards for suite in SUITES.values())
            missing = f"{path}: the suite {training['suite']} has no reward {name!r}"
            yield (
                f"{missing if elsewhere else f'unknown key {path}.{name}'}. "
                f"Did you mean {defects.nearest(name, known)}? Remedy: use {_or(known)}, another "
                "suite, or one of your own by path/to/file.py:function."
            )
    labels = [suites.label(name) for name in names]
    for label in sorted({label for label in labels if labels.count(label) > 1}):
        yield f"{path}: two rewards are called {label!r}. Remedy: rename the function."


def _unknown_tasks(config: Config) -> Iterator[str]:
    """Yield the tasks that an experiment or the tiny base names and that do not exist."""
    named = {
        f"experiments.{name}.tasks": experiment.get("tasks", ())
        for name, experiment in config["experiments"].items()
    }
    rebuild = config["base"].get("rebuild") or {}
    named["base.rebuild.mixture"] = rebuild.get("mixture", ())
    for path, tasks in named.items():
        for task in tasks:
            if task not in TASKS:
                yield (
                    f"{path}: there is no task {task!r}. Did you mean "
                    f"{defects.nearest(task, TASKS)}? Remedy: choose {_or(TASKS)}."
                )
