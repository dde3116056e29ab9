"""Scores of several experiments → ``comparison.json``: how each differs from each before it.

Only instances that all of a pair's files have are compared; the others are counted. Both sides of
a pair are resampled together, by manual. An experiment may have several training seeds, one folder
each: its metrics are those of the mean over its seeds, and every replicate draws seeds with
replacement too, so that the interval of a difference covers the luck of the trainings as well.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from legor1.core.errors import UserError
from legor1.core.files import read_json, write_json
from legor1.core.seeding import generator
from legor1.evaluation import bootstrap
from legor1.evaluation.scoring import BOOTSTRAP, IDENTITY, PROTOCOLS, Bootstrap, finite
from legor1.evaluation.significance import holm, swapped_p
from legor1.tasks.task import Row, Scoring

TEST = (
    "p: answers of whole manuals swapped at random, as many rounds as replicates, on the mean of "
    "an experiment's seeds; p_holm: Holm over all pairs and tasks, the main metrics as one family "
    "and the secondary ones as another, null for metrics in neither"
)
SIDES = ("baseline", "experiment")

Named = Sequence[tuple[str, Path | str]]
Seeds = list[pd.DataFrame]  # an experiment's examples, one frame a seed


@dataclass(frozen=True)
class Sample:
    """One task's answers of one experiment to the common instances.

    ``sums`` is (seeds, clusters, k): the features summed over each manual.
    """

    task: Scoring
    sums: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(clusters, k): the mean over the seeds."""
        return self.sums.mean(axis=0)

    def statistics(self, sums: np.ndarray) -> np.ndarray:
        """Return the metrics (..., m) from sums (..., k), the undefined ones as the task has it."""
        values = self.task.statistics(sums)
        return np.where(np.isfinite(values), values, self.task.undefined)


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
    _adjust(known, [pair["tasks"] for pair in comparisons])
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
        manuals = sides[0][0].loc[common, "manual"].tolist()
        samples = [_sample(side, common, manuals, task) for side in sides]
        tasks[name] = {
            "n": len(common),
            "clusters": samples[0].sums.shape[1],
            "missing": {side: len(asked - ids) for side, ids in zip(SIDES, by_all, strict=True)},
            "main": task.main,
            "metrics": _difference(name, samples[0], samples[1], settings),
        }
    return tasks


def _adjust(known: Mapping[str, Scoring], compared: list[Row]) -> None:
    """Give each test of a family the p that holds for all of the family together."""
    tests = [
        (metric == known[task].main, differences["metrics"][metric])
        for tasks in compared
        for task, differences in tasks.items()
        for metric in (known[task].main, *known[task].secondary)
    ]
    for main in (True, False):
        family = [test for is_main, test in tests if is_main == main]
        adjusted = holm([math.nan if t["p"] is None else t["p"] for t in family])
        for test, p in zip(family, adjusted, strict=True):
            test["p_holm"] = finite(p)


def _sample(side: Seeds, common: list[str], manuals: list[str], task: Scoring) -> Sample:
    features = [frame.loc[common, list(task.features)].to_numpy() for frame in side]
    sums = [bootstrap.cluster_sums(seed, manuals) for seed in features]
    return Sample(task, np.stack(sums))


def _difference(name: str, first: Sample, second: Sample, settings: Bootstrap) -> Row:
    """Return each metric of both and its difference, with its interval and p."""
    statistics = first.statistics
    before, after = (statistics(sample.mean.sum(axis=0)) for sample in (first, second))
    drawn = _drawn_differences(name, first, second, settings)
    rng = generator(settings.seed, "swap", name)
    p = swapped_p(first.mean, second.mean, statistics, settings.replicates, rng)
    difference = after - before
    return {
        metric: {
            "baseline": finite(before[i]),
            "experiment": finite(after[i]),
            "difference": finite(difference[i]),
            **settings.interval(drawn[:, i]),
            "p": finite(p[i]),
            "p_holm": None,
        }
        for i, metric in enumerate(first.task.metrics)
    }


def _drawn_differences(name: str, first: Sample, second: Sample, settings: Bootstrap) -> np.ndarray:
    """Return (replicates, m): the differences where manuals and seeds are drawn again."""
    seeds = [len(first.sums), len(second.sums)]
    side_by_side = np.concatenate([*first.sums, *second.sums], axis=1)
    rng = generator(settings.seed, "bootstrap", name)
    drawn = bootstrap.resampled(side_by_side, settings.replicates, rng)
    drawn = drawn.reshape(len(drawn), sum(seeds), first.sums.shape[-1])
    means = []
    for side, sums in enumerate(np.split(drawn, seeds[:1], axis=1)):
        rng = generator(settings.seed, "seeds", f"{name} {side}")
        weights = rng.multinomial(seeds[side], np.full(seeds[side], 1 / seeds[side]), len(drawn))
        means.append(np.einsum("rs,rsk->rk", weights / seeds[side], sums))
    return first.statistics(means[1]) - first.statistics(means[0])
