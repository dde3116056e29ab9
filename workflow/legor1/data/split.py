"""Which instances are trained on and which are tested on: whole manuals, seeded.

Manuals that share an image (byte for byte) are one group, so that no test image was trained on.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from legor1 import files
from legor1.data.tree import Rejected, locate
from legor1.errors import UserError
from legor1.seeding import generator

if TYPE_CHECKING:
    import pandas as pd

PROTOCOLS = ("sound",)


def split(
    instances: "pd.DataFrame",
    *,
    protocol: str = "sound",
    seed: int,
    test_fraction: float,
    tree: Path | None = None,
) -> dict[str, Any]:
    """Return the content of split.json.

    Args:
        instances: the table of ``index``.
        protocol: ``sound``: by whole manuals.
        seed: decides which manuals are tested on.
        test_fraction: share of test rows, met as nearly as whole manuals allow in every task.
        tree: where the images lie; without it, equal images in two manuals go unnoticed.

    Raises:
        UserError: an unknown protocol, a fraction outside (0, 1), or fewer than two manuals
            that do not share images.
    """
    check_protocol(protocol)
    if not 0 < test_fraction < 1:
        raise UserError(
            f"A test fraction of {test_fraction} leaves one side empty. "
            "Remedy: give a number between 0 and 1, such as 0.25."
        )
    groups = manual_groups(instances, tree)
    if len(set(groups.values())) < 2:
        raise UserError(
            f"Cannot split {len(groups)} manual(s) that have no images of their own: whole manuals "
            "are trained or tested on. Remedy: give a tree with at least two different manuals."
        )
    group = instances["manual"].map(groups)
    counts = instances.groupby([group, "task"]).size().unstack(fill_value=0)
    tested = counts.index[choose(counts.to_numpy(), test_fraction, generator(seed, "split"))]
    in_test = group.isin(tested)
    return {
        "schema_version": 1,
        "protocol": protocol,
        "seed": seed,
        "test_fraction": test_fraction,
        "train": sorted(instances["instance_id"][~in_test]),
        "test": sorted(instances["instance_id"][in_test]),
    }


def check_protocol(protocol: str) -> None:
    """Raise a UserError unless there is a protocol of this name."""
    if protocol not in PROTOCOLS:
        raise UserError(
            f"Unknown protocol {protocol!r}. Remedy: use one of: {', '.join(PROTOCOLS)}."
        )


def manual_groups(instances: "pd.DataFrame", tree: Path | None) -> dict[str, str]:
    """Return manual → the first manual of its group; equal images put manuals into one group.

    Raises:
        UserError: an image is not in the tree (any more).
    """
    parent = {manual: manual for manual in sorted(set(instances["manual"]))}

    def find(manual: str) -> str:
        while parent[manual] != manual:
            parent[manual] = manual = parent[parent[manual]]
        return manual

    owner: dict[str, str] = {}
    images = instances[["image", "manual"]].drop_duplicates() if tree else instances[:0]
    for image, manual in zip(images["image"], images["manual"], strict=True):
        other = owner.setdefault(_digest(Path(tree or ""), image), manual)
        first, second = sorted((find(manual), find(other)))
        parent[second] = first
    return {manual: find(manual) for manual in parent}


def choose(counts: np.ndarray, fraction: float, random: np.random.Generator) -> np.ndarray:
    """Return which groups are tested on, at least one and not all.

    Starts from a random set and then moves and exchanges groups for as long as that brings the
    test share of the tasks nearer to ``fraction`` (least squares over tasks).

    Args:
        counts: (groups, tasks) rows of each task in each group.
        fraction: the share of rows wanted in the test set.
        random: where to start from.

    Returns:
        (groups,) booleans.
    """
    shares = counts / counts.sum(axis=0, keepdims=True)
    tested = np.zeros(len(shares), dtype=bool)
    excess = np.full(shares.shape[1], -fraction)  # of the test share, per task
    for group in random.permutation(len(shares))[:-1]:
        if not tested.any() or _norm(excess + shares[group]) < _norm(excess):
            tested[group] = True
            excess += shares[group]
    while True:
        # Row 0 of a step is "nobody": a step exchanges one in the test set with one outside it.
        leaving = np.flatnonzero(tested)
        entering = np.flatnonzero(~tested)
        out = np.vstack([np.zeros_like(excess), shares[leaving]])
        into = np.vstack([np.zeros_like(excess), shares[entering]])
        costs = _norm(excess + into[None, :] - out[:, None])
        if len(leaving) == 1:
            costs[1:, 0] = np.inf
        if len(entering) == 1:
            costs[0, 1:] = np.inf
        i, j = np.unravel_index(costs.argmin(), costs.shape)
        if not entering.size or costs[i, j] >= costs[0, 0] - 1e-12:
            return tested
        excess += into[j] - out[i]
        tested[leaving[i - 1 : i]] = False
        tested[entering[j - 1 : j]] = True


def write_split(split: dict[str, Any], out: Path) -> dict[str, int]:
    """Write split.json and return the number of instances on each side."""
    files.write_json(out, split)
    return {side: len(split[side]) for side in ("train", "test")}


def _norm(excess: np.ndarray) -> np.ndarray:
    return (excess**2).sum(axis=-1)


def _digest(tree: Path, image: str) -> str:
    try:
        return files.sha256(locate(tree.resolve(), image))
    except (Rejected, OSError) as error:
        raise UserError(
            f"{tree / image}: {error}. Remedy: index the tree again with 'legor1 index'."
        ) from error
