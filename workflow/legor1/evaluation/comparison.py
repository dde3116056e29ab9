"""Scores of several experiments → ``comparison.json``: how each differs from each before it.

Only instances that all of a pair's files have are compared; the others are counted. An experiment
may have several training seeds, one folder each.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from legor1.core.errors import UserError
from legor1.core.files import read_json, write_json
from legor1.evaluation import paired
from legor1.evaluation.scoring import BOOTSTRAP, IDENTITY, PROTOCOLS, Bootstrap, clustered
from legor1.tasks.task import Row, Scoring

TEST = (
    "p: answers of whole manuals swapped at random, as many rounds as replicates, on the mean of "
    "an experiment's seeds; p_holm: Holm over all pairs and tasks, the main metrics as one family "
    "and the secondary ones as another, null for metrics in neither"
)
SIDES = ("baseline", "experiment")

Named = Sequence[tuple[str, Path | str]]
Seeds = list[pd.DataFrame]  # an experiment's examples, one frame a seed


def compare(named: Named, settings: Bootstrap = BOOTSTRAP) -> Row:
    """Return what goes into ``comparison.json``; a UserError says what cannot be compared.

    ``named`` is (experiment, folder of ``legor1 score``); each experiment is compared with all
    before it, and a name that comes again is another training seed of it.
    """
    protocol, frames = _read(named)
    known = PROTOCOLS[protocol]
    comparisons: list[Row] = []
    for first, second in itertools.combinations(frames, 2):
        tasks = _tasks(frames[first], frames[second], known, settings)
        comparisons.append({"baseline": first, "experiment": second, "tasks": tasks})
    paired.adjust(
        (metric == known[task].main, found["metrics"][metric])
        for pair in comparisons
        for task, found in pair["tasks"].items()
        for metric in (known[task].main, *known[task].secondary)
    )
    return {
        "schema_version": 3,
        "protocol": protocol,
        "baseline": next(iter(frames)),
        "seeds": {name: len(group) for name, group in frames.items()},
        "interval": settings.described(),
        "test": TEST,
        "comparisons": comparisons,
    }


def write_comparison(named: Named, path: Path | str, settings: Bootstrap = BOOTSTRAP) -> Row:
    """Compare, write the result and return it."""
    comparison = compare(named, settings)
    write_json(path, comparison)
    return comparison


def _read(named: Named) -> tuple[str, dict[str, Seeds]]:
    """Return the protocol of all, and experiment → the examples of each of its seeds."""
    folders: dict[str, list[Path]] = {}
    for name, folder in named:
        folders.setdefault(name, []).append(Path(folder))
    if len(folders) < 2:
        raise UserError(
            f"{', '.join(folders)} alone cannot be compared. "
            "Remedy: name at least two experiments, as in first=DIR second=DIR."
        )
    protocol = _protocol([folder for group in folders.values() for folder in group])
    return protocol, {
        name: [_examples(folder, protocol) for folder in group] for name, group in folders.items()
    }


def _protocol(folders: list[Path]) -> str:
    protocols = {folder: read_json(folder / "scores.json").get("protocol") for folder in folders}
    protocol, *others = set(protocols.values())
    if others:
        listed = ", ".join(f"{folder}: {name}" for folder, name in protocols.items())
        raise UserError(
            f"scores under different protocols cannot be compared ({listed}). "
            "Remedy: score all of them under the same one."
        )
    if protocol not in PROTOCOLS:
        raise UserError(
            f"{folders[0]}/scores.json holds no scores. Remedy: make it with `legor1 score`."
        )
    return str(protocol)


def _examples(folder: Path, protocol: str) -> pd.DataFrame:
    path = folder / "per_example.parquet"
    if not path.is_file():
        raise UserError(f"{path} does not exist. Remedy: make it with `legor1 score`.")
    frame = pd.read_parquet(path)
    needed = {name for task in PROTOCOLS[protocol].values() for name in task.features}
    missing = sorted((needed | set(IDENTITY)) - set(frame))
    if missing:
        raise UserError(
            f"{path} lacks {', '.join(missing)}. Remedy: make it again with `legor1 score`."
        )
    return frame.set_index("instance_id")


def _tasks(first: Seeds, second: Seeds, known: Mapping[str, Scoring], settings: Bootstrap) -> Row:
    """Return task → how the second experiment differs, for the tasks that both have."""
    tasks = {}
    for name, task in known.items():
        sides = [[frame[frame["task"] == name] for frame in side] for side in (first, second)]
        answered = [[set(frame.index) for frame in side] for side in sides]
        by_all = [set.intersection(*seeds) for seeds in answered]
        common = sorted(by_all[0] & by_all[1])
        if not common:
            continue
        asked = set.union(*answered[0], *answered[1])
        manuals = sides[0][0].loc[common, "manual"]
        own = [[frame.loc[common].assign(manual=manuals) for frame in side] for side in sides]
        sums = [np.stack([clustered(frame, task) for frame in side]) for side in own]
        tasks[name] = {
            "n": len(common),
            "clusters": sums[0].shape[1],
            "missing": {side: len(asked - ids) for side, ids in zip(SIDES, by_all, strict=True)},
            "main": task.main,
            "metrics": paired.differences(name, task, sums, settings, (*SIDES, "difference")),
        }
    return tasks
