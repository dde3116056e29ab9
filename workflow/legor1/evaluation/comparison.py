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
from typing import TYPE_CHECKING, Any

import numpy as np

from legor1.core.errors import UserError
from legor1.core.files import read_json, write_json
from legor1.core.seeding import generator
from legor1.evaluation import bootstrap, significance
from legor1.evaluation.protocols import PROTOCOLS
from legor1.evaluation.scoring import METHOD, both_intervals, check_options, finite
from legor1.tasks.task import Scoring

if TYPE_CHECKING:
    import pandas as pd

TEST = (
    "p: answers of whole manuals swapped at random, as many rounds as replicates, on the mean of "
    "an experiment's seeds; p_holm: Holm over all pairs and tasks, the main metrics as one family "
    "and the secondary ones as another, null for metrics in neither; "
    "mcnemar: exact, examples taken as independent, where both experiments have one seed"
)


@dataclass(frozen=True)
class Bootstrap:
    """What is drawn, and how often."""

    replicates: int
    confidence: float
    seed: int


@dataclass(frozen=True)
class Sample:
    """One task's answers of one experiment to the common instances.

    ``sums`` is (seeds, clusters, k): the features summed over each manual.
    """

    examples: list["pd.DataFrame"]
    sums: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(clusters, k): the mean over the seeds."""
        return self.sums.mean(axis=0)


def compare(
    named: Sequence[tuple[str, Path | str]],
    *,
    replicates: int = 10_000,
    confidence: float = 0.95,
    seed: int = 42,
) -> dict[str, Any]:
    """Return what goes into ``comparison.json``.

    Args:
        named: (experiment, folder of ``legor1 score``); each experiment is compared with all
            before it, and a name that comes again is another training seed of it.
        replicates: of the bootstrap, and rounds of the swapping test.
        confidence: of the intervals, between 0 and 1.
        seed: of both.

    Raises:
        UserError: there is nothing to compare, a file is missing, or protocols differ.
    """
    check_options("sound", replicates, confidence)
    settings = Bootstrap(replicates, confidence, seed)
    protocol, frames = _read(named)
    comparisons: list[dict[str, Any]] = [
        {
            "baseline": first,
            "experiment": second,
            "tasks": _tasks(frames[first], frames[second], protocol, settings),
        }
        for first, second in itertools.combinations(frames, 2)
    ]
    _adjust(PROTOCOLS[protocol], [one["tasks"] for one in comparisons])
    return {
        "schema_version": 3,
        "protocol": protocol,
        "baseline": next(iter(frames)),
        "seeds": {name: len(group) for name, group in frames.items()},
        "interval": {"method": METHOD} | vars(settings),
        "test": TEST,
        "comparisons": comparisons,
    }


def write_comparison(
    named: Sequence[tuple[str, Path | str]], path: Path | str, **options: Any
) -> dict[str, Any]:
    """Compare with the options of ``compare``; write and return the result."""
    comparison = compare(named, **options)
    write_json(path, comparison)
    return comparison


def _read(
    named: Sequence[tuple[str, Path | str]],
) -> tuple[str, dict[str, list["pd.DataFrame"]]]:
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
    found = {folder: read_json(folder / "scores.json").get("protocol") for folder in folders}
    if len(set(found.values())) > 1:
        listed = ", ".join(f"{folder}: {name}" for folder, name in found.items())
        raise UserError(
            f"scores under different protocols cannot be compared ({listed}). "
            "Remedy: score all of them under the same one."
        )
    protocol = next(iter(found.values()))
    if protocol not in PROTOCOLS:
        raise UserError(
            f"{folders[0]}/scores.json holds no scores. Remedy: make it with `legor1 score`."
        )
    return str(protocol)


def _examples(folder: Path, protocol: str) -> "pd.DataFrame":
    import pandas as pd

    path = folder / "per_example.parquet"
    if not path.is_file():
        raise UserError(f"{path} does not exist. Remedy: make it with `legor1 score`.")
    frame = pd.read_parquet(path)
    needed = {name for task in PROTOCOLS[protocol].values() for name in task.features}
    missing = sorted(({"instance_id", "task", "manual"} | needed) - set(frame))
    if missing:
        raise UserError(
            f"{path} lacks {', '.join(missing)}. Remedy: make it again with `legor1 score`."
        )
    return frame.set_index("instance_id")


def _tasks(
    first: list["pd.DataFrame"],
    second: list["pd.DataFrame"],
    protocol: str,
    settings: Bootstrap,
) -> dict[str, dict[str, Any]]:
    """Return task → how the second experiment differs, for the tasks that both have."""
    tasks = {}
    for name, task in PROTOCOLS[protocol].items():
        sides = [[frame[frame["task"] == name] for frame in side] for side in (first, second)]
        common = set.intersection(*(set(frame.index) for side in sides for frame in side))
        if not common:
            continue
        everyone = set.union(*(set(frame.index) for side in sides for frame in side))
        missing = [
            len(everyone - set.intersection(*(set(frame.index) for frame in side)))
            for side in sides
        ]
        samples = [_sample(side, sorted(common), sides[0][0], task) for side in sides]
        tasks[name] = {
            "n": len(common),
            "clusters": samples[0].sums.shape[1],
            "missing": dict(zip(("baseline", "experiment"), missing, strict=True)),
            "main": task.main,
            **_difference(name, task, samples[0], samples[1], settings),
        }
    return tasks


def _adjust(known: Mapping[str, Scoring], compared: list[dict[str, dict[str, Any]]]) -> None:
    """Give each test of a family the p that holds for all of the family together."""
    tests = [
        (metric == known[task].main, found["metrics"][metric])
        for tasks in compared
        for task, found in tasks.items()
        for metric in (known[task].main, *known[task].secondary)
    ]
    for main in (True, False):
        family = [test for is_main, test in tests if is_main == main]
        adjusted = significance.holm([math.nan if t["p"] is None else t["p"] for t in family])
        for test, p in zip(family, adjusted, strict=True):
            test["p_holm"] = finite(p)


def _sample(
    side: list["pd.DataFrame"], common: list[str], manuals: "pd.DataFrame", task: Scoring
) -> Sample:
    clusters = manuals.loc[common, "manual"].tolist()
    examples = [frame.loc[common] for frame in side]
    sums = [
        bootstrap.cluster_sums(frame[list(task.features)].to_numpy(), clusters)
        for frame in examples
    ]
    return Sample(examples, np.stack(sums))


def _difference(
    name: str, task: Scoring, first: Sample, second: Sample, settings: Bootstrap
) -> dict[str, Any]:
    """Return each metric of both and its difference, with intervals and p; McNemar for yes/no."""
    values = [_statistics(task, sample.mean.sum(axis=0)) for sample in (first, second)]
    drawn = _drawn_differences(name, task, first, second, settings)
    kept = [_statistics(task, bootstrap.left_out(sample.mean)) for sample in (first, second)]
    rng = generator(settings.seed, "swap", name)
    p = significance.swapped_p(
        first.mean, second.mean, lambda sums: _statistics(task, sums), settings.replicates, rng
    )
    metrics = {}
    for i, metric in enumerate(task.metrics):
        before, after = values[0][i], values[1][i]
        jackknife = (kept[1] - kept[0])[:, i]
        metrics[metric] = {
            "baseline": finite(before),
            "experiment": finite(after),
            "difference": finite(after - before),
            **both_intervals(after - before, drawn[:, i], jackknife, settings.confidence),
            "p": finite(p[i]),
            "p_holm": None,
        }
    found: dict[str, Any] = {"metrics": metrics}
    if {"tp", "tn"} <= set(task.features) and len(first.sums) == len(second.sums) == 1:
        found["mcnemar"] = _mcnemar(first.examples[0], second.examples[0])
    return found


def _drawn_differences(
    name: str, task: Scoring, first: Sample, second: Sample, settings: Bootstrap
) -> np.ndarray:
    """Return (replicates, m): the differences where manuals and seeds are drawn again."""
    seeds = [len(first.sums), len(second.sums)]
    side_by_side = np.concatenate([*first.sums, *second.sums], axis=1)
    rng = generator(settings.seed, "bootstrap", name)
    drawn = bootstrap.resampled(side_by_side, settings.replicates, rng)
    drawn = drawn.reshape(len(drawn), sum(seeds), len(task.features))
    means = []
    for side, sums in enumerate(np.split(drawn, seeds[:1], axis=1)):
        rng = generator(settings.seed, "seeds", f"{name} {side}")
        weights = rng.multinomial(seeds[side], np.full(seeds[side], 1 / seeds[side]), len(drawn))
        means.append(np.einsum("rs,rsk->rk", weights / seeds[side], sums))
    return _statistics(task, means[1]) - _statistics(task, means[0])


def _statistics(task: Scoring, sums: np.ndarray) -> np.ndarray:
    values = task.statistics(sums)
    return np.where(np.isfinite(values), values, task.undefined)


def _mcnemar(first: "pd.DataFrame", second: "pd.DataFrame") -> dict[str, float | int]:
    """Return how often only one of the two was right, and the test; left-out answers are wrong."""
    right = [frame["tp"] + frame["tn"] > 0 for frame in (first, second)]
    only = {
        "only_baseline": int((right[0] & ~right[1]).sum()),
        "only_experiment": int((right[1] & ~right[0]).sum()),
    }
    return only | {"p": significance.mcnemar(*only.values())}
