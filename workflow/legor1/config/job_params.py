"""What a training or a prediction depends on: the part of a run's config that its job is given.

Whatever is left out cannot rerun it, so a recipe holds just what its stage uses.
"""

from collections.abc import Mapping
from typing import Any

from legor1.config.settings import own

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
