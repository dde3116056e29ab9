"""What a training or a prediction depends on: the part of a run's config that its job is given.

Whatever is left out cannot rerun it, so a recipe holds just what its stage uses.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from legor1.config import settings as config_settings
from legor1.config.settings import own
from legor1.core.errors import UserError

Recipe = dict[str, Any]
# What fixes a model's numbers, in training and in inference, and how long a prompt may be.
NUMERICS = ("device", "precision", "attention", "max_tokens", "threads")
# What these change is in the conversations, in the predictions, or in a name.
ELSEWHERE = ("protocol", "variant", "inference", "repeats")


def training(config: Mapping[str, Any], experiment: str) -> Recipe:
    """Return the recipe of ``legor1 train`` for an experiment of a resolved config."""
    settings = config["experiments"][experiment]
    recipe = _numerics(config, experiment, "processes", "seed")
    return recipe | {
        name: value
        for name, value in settings.items()
        if name not in (*ELSEWHERE, "pixel_budget")  # its own part of it
    }


def prediction(config: Mapping[str, Any], experiment: str) -> Recipe:
    """Return the recipe of ``legor1 predict`` for an experiment of a resolved config."""
    settings, inference = config["experiments"][experiment], own(config, experiment, "inference")
    recipe = _numerics(config, experiment) | inference
    del recipe["shards"]
    if inference.get("sampling"):  # the seed has no say in greedy answers
        recipe["seed"] = settings.get("seed", config["seed"])
    return recipe | {"demonstrations": settings["demonstrations"]}


def _numerics(config: Mapping[str, Any], experiment: str, *more: str) -> Recipe:
    budget = own(config, experiment, "pixel_budget")
    chosen = {name: config[name] for name in (*NUMERICS, *more)}
    return chosen | {"experiment": experiment, "pixel_budget": budget}


def checked(recipe: object, job: str) -> Recipe:
    """Return a recipe that was given to ``legor1 train``, ``predict`` or ``build-base``.

    What may be left out of a config's ``training`` is filled in.

    Raises:
        UserError: a key is unknown or missing, or a value is wrong; all such are named.
    """
    if not isinstance(recipe, dict):
        raise UserError('the recipe has no keys. Remedy: write an object, {"key": value, …}.')
    recipe = copy.deepcopy(recipe)
    problems = config_settings.problems(recipe, _shape(recipe, job)) or list(_unusable(recipe))
    if problems:
        raise UserError("the recipe has errors:\n  " + "\n  ".join(problems))
    return recipe


def _shape(recipe: Recipe, job: str) -> Recipe:
    """Return the JSON schema of a job's recipe, put together from the config's."""
    schema = config_settings.schema()
    known = schema["properties"]
    parts = {name: known[name] for name in (*NUMERICS, "pixel_budget", "seed")}
    parts["experiment"] = {"type": "string", "minLength": 1}
    optional = ["max_tokens"]
    if job == "build-base":
        parts, optional = schema["$defs"]["rebuild"]["properties"]["training"]["properties"], []
    elif job == "predict":
        parts |= known["inference"]["properties"] | schema["$defs"]["baseline"]["properties"]
        parts["pixel_budget"] = known["pixel_budget"]
        optional += ["seed", "sampling"] if not recipe.get("sampling") else []
        for name in ("shards", "method", *ELSEWHERE):
            parts.pop(name, None)
    else:
        method = recipe.get("method")
        methods = ("sft", "grpo")
        parts |= {"processes": known["processes"]}
        parts |= schema["$defs"][method if method in methods else "sft"]["properties"]
        parts |= {"method": {"enum": methods}, "pixel_budget": known["pixel_budget"]}
        for name in ELSEWHERE:
            parts.pop(name, None)
    # What has a default in a config has one there alone: a recipe is resolved.
    shared = schema["$defs"]
    parts = {name: shared.get(part.get("$ref", "")[8:], {}) | part for name, part in parts.items()}
    parts = {
        name: {key: value for key, value in part.items() if key not in ("default", "$ref")}
        for name, part in parts.items()
    }
    required = [name for name in parts if name not in optional]
    of = {"type": "object", "required": required, "additionalProperties": False}
    return {"$defs": schema["$defs"], **of, "properties": parts}


def _unusable(recipe: Recipe) -> Iterator[str]:
    """Yield what is wrong between keys of a recipe that are right one by one."""
    budget = recipe["pixel_budget"]
    if budget["min_pixels"] > budget["max_pixels"]:
        yield "pixel_budget: min_pixels exceeds max_pixels. Remedy: swap them."
    if "mixture" in recipe and not any(recipe["mixture"].values()):
        yield "mixture: no task is ever drawn. Remedy: give one a share above 0."
    if "batch_tokens" in recipe and (recipe["batch_size"] is None) == (
        recipe["batch_tokens"] is None
    ):
        yield "batch_size: give either it or batch_tokens. Remedy: write null for the other."
    if "training" in recipe and "method" in recipe:
        yield from config_settings.training_contradictions("training", recipe, recipe["processes"])
