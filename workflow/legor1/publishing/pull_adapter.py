"""Adapters as they were published, in place of a training: ``adapters: pull`` in the config."""

import os
from collections.abc import Mapping
from pathlib import Path

from legor1.config.job_params import Recipe
from legor1.core.errors import UserError
from legor1.core.layout import IN_RUN
from legor1.monitor.run_files import json_object
from legor1.publishing.dvc import alone, dvc, fetch, verify
from legor1.publishing.outputs import hashed, published

# Where an adapter was trained need not be where it is used.
OF_THE_MACHINE = ("device", "precision", "attention", "processes", "threads")


def to_pull(run: Path, recipes: Mapping[str, Recipe]) -> list[str]:
    """Return the experiments whose adapter here is not the published one.

    ``recipes`` is experiment → the recipe it would be trained by; a UserError if an adapter was
    not published, or was trained by another.
    """
    names = {IN_RUN.adapter(experiment): experiment for experiment in recipes}
    wanted = _wanted(run, *names)
    present = hashed(run, names)
    here = [name for name in names if name in present and present[name].md5 == wanted[name]]
    for name in here:
        _check_recipe(run / name, recipes[names[name]])
    return [experiment for name, experiment in names.items() if name not in here]


def pull(folder: Path, recipe: Recipe) -> None:
    """Put the published adapter into ``results/<run>/adapters/<experiment>``, and check it.

    A UserError if it was not published, is damaged, or was trained by another recipe.
    """
    run, name = folder.parents[1], IN_RUN.adapter(folder.name)
    wanted = _wanted(run, name)
    with alone():
        fetch(run, wanted)
        dvc("checkout", "--force", str(folder))
        verify(run, wanted)
    _check_recipe(folder, recipe)
    for path in folder.rglob("*"):
        os.utime(path)  # else it may seem older than the pointer, and be pulled for ever


def _wanted(run: Path, *names: str) -> dict[str, str]:
    """Return adapter → hash as it was published."""
    known = published(run)
    for name in names:
        if name not in known:
            raise UserError(
                f"no {name} was published with run {run.name}. "
                "Remedy: set `adapters: train`, or publish it where it was trained."
            )
    return {name: known[name] for name in names}


def _check_recipe(folder: Path, recipe: Recipe) -> None:
    trained = json_object(folder / "run.json").get("recipe")
    if not isinstance(trained, dict):
        raise UserError(
            f"{folder / 'run.json'} holds no recipe. Remedy: set `adapters: train`, or publish "
            "the adapter again where it was trained."
        )
    for name in sorted((recipe.keys() | trained.keys()) - set(OF_THE_MACHINE)):
        if recipe.get(name) != trained.get(name):
            raise UserError(
                f"the published {folder} was trained with {name} {trained.get(name)}, but the "
                f"config says {recipe.get(name)}. Remedy: set `adapters: train`, or {name} back."
            )
