"""The predictions of an ablation → ``ablation.json``: what each defect moves, by how much.

An effect is the metric with the defect less the metric without it, of a variant and its own parent:
one has the defect on alone, or the other has it off alone. Both answered the common test set, so
every difference is paired. Replicates draw manuals, and training seeds too: of either side on its
own, or of both together where the trainings are the same.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from legor1.core.errors import UserError
from legor1.core.files import read_json, read_jsonl, write_json, write_text
from legor1.core.layout import IN_RUN
from legor1.core.seeding import generator
from legor1.evaluation import bootstrap
from legor1.evaluation.leak_bundles import bundles
from legor1.evaluation.scoring import SOUND, Bootstrap, finite
from legor1.evaluation.significance import holm, swapped_p
from legor1.published.thesis_metrics import with_defects
from legor1.tasks.discovery import METRICS
from legor1.tasks.task import Row, Scoring

TRIED = IN_RUN.ablation
# The published metrics are the ones that a defect can have moved; the first of a task is its main.
PUBLISHED = {t: [m.name for m in METRICS if m.task == t and m.column] for t in SOUND}
ROUNDS_FOR_ONE = 20  # of the test, for the smallest p that it can give to survive Holm's adjustment
MOST_ROUNDS = 1_000_000
COLUMNS = (
    "of", "method", "defect", "around", "variant", "parent", "task", "metric", "without", "with",
    "effect", "low", "high", "p", "p_holm", "n", "manuals", "seeds", "inert",
)  # fmt: skip
NUMBERS = ("without", "with", "effect", "low", "high", "p", "p_holm")
ABOUT = {
    "interval": "percentile bootstrap of manuals and training seeds",
    "test": "answers of whole manuals swapped at random, on the mean of the seeds; p_holm: Holm "
    "over all effects of the ablation, the main metrics as one family and the others as another",
    "noise": "half the width that holds a difference of two means over the seeds, if the seed is "
    "all that differs: Student's t, spread pooled over all variants of an experiment",
}
Sums = Mapping[str, np.ndarray]  # task → (clusters, k)


@dataclass(frozen=True)
class Side:
    """The answers of a variant: task → (seeds, clusters, k), and which trainings they are of."""

    sums: Sums
    trainings: tuple[str | None, ...]


class Ablation:
    """What an ablation in the run's folder ``run`` has planned and predicted."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.plan, self.common = read_json(run / TRIED.plan), read_json(run / TRIED.common)
        self.variants: dict[str, Row] = {one["name"]: one for one in self.plan["variants"]}
        self._scored: dict[tuple[str, frozenset[str]], Sums] = {}
        self._sides: dict[str, Side] = {}

    def side(self, name: str) -> Side:
        """Return the answers of a variant, scored as it scores."""
        if name not in self._sides:
            runs, scoring = self.variants[name]["runs"], frozenset(self.variants[name]["scoring"])
            each = [self._sums(one["prediction"], scoring - {"no_intervals"}) for one in runs]
            stacked = {task: np.stack([sums[task] for sums in each]) for task in each[0]}
            self._sides[name] = Side(stacked, tuple(one["training"] for one in runs))
        return self._sides[name]

    def _sums(self, key: str, scoring: frozenset[str]) -> Sums:
        if (key, scoring) not in self._scored:
            self._scored[key, scoring] = _summed(
                self.run / TRIED.predictions(key), self.common["instances"], scoring
            )
        return self._scored[key, scoring]

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        """Task → its examples and manuals."""
        rows = read_jsonl(self.run / TRIED.predictions(next(iter(self.plan["predictions"]))))
        frame = pd.DataFrame({name: [row[name] for row in rows] for name in ("task", "manual")})
        return {
            task: {"n": len(of), "manuals": of["manual"].nunique()}
            for task, of in frame.groupby("task")
        }


def write_effects(run: Path, out: Path, table: Path, settings: Bootstrap) -> Row:
    """Measure the ablation in ``run``, write JSON and CSV, and return how many effects there are.

    A UserError says that a prediction is not of the common test set, or cannot be scored.
    """
    ablation = Ablation(run)
    effects = [_effect(ablation, one) for one in ablation.plan["variants"] if one["parent"]]
    live = [(effect, task) for effect in effects for task in effect["tasks"]]
    rounds = min(MOST_ROUNDS, ROUNDS_FOR_ONE * math.ceil(len(live) / (1 - settings.confidence)))
    for effect, task in live:
        _measure(ablation, effect, task, settings, max(rounds, settings.replicates))
    _adjust(effects)
    content = {
        "schema_version": 1,
        "confidence": settings.confidence,
        "replicates": settings.replicates,
        "rounds": max(rounds, settings.replicates),
        "about": ABOUT,
        "test_set": {name: ablation.common[name] for name in ("available", "tasks", "manuals")},
        "counts": ablation.counts,
        "main": {task: names[0] for task, names in PUBLISHED.items() if names},
        "variants": {name: _shown(ablation, name) for name in ablation.variants},
        "effects": effects,
        "noise": _noise(ablation, settings.confidence),
        "bundles": bundles(run, ablation.plan["variants"]),
        "costs": _costs(ablation),
    }
    write_json(out, content)
    frame = pd.DataFrame(_rows(content), columns=COLUMNS, dtype=object)
    write_text(table, frame.to_csv(index=False, lineterminator="\n"))
    inert = sum(effect["inert"] is not None for effect in effects)
    return {"defects tried": len(effects), "inert": inert, "effects": len(live)}


def _scoring(defects: frozenset[str]) -> dict[str, Scoring]:
    """Return each task's scoring, its metrics cut down to the published ones."""
    scored = with_defects(SOUND, defects)
    return {
        task: replace(scored[task], metrics={name: scored[task].metrics[name] for name in names})
        for task, names in PUBLISHED.items()
        if names
    }


METRICS_OF = _scoring(frozenset())  # from sums; how an answer is measured does not matter there


def _summed(path: Path, instances: list[str], defects: frozenset[str]) -> Sums:
    """Return task → the features summed over each manual, manuals in their sorted order."""
    rows = read_jsonl(path, ("instance_id", "task", "prediction", "reference"))
    rows.sort(key=lambda row: row["instance_id"])
    if [row["instance_id"] for row in rows] != instances:
        raise UserError(
            f"{path} does not answer the common test set. Remedy: delete it, and run again."
        )
    made, scoring = {}, _scoring(defects)
    for task, of in scoring.items():
        own = [row for row in rows if row["task"] == task]
        if not own:
            continue
        try:
            measured = [of.measure(row["prediction"], row["reference"]) for row in own]
        except ValueError as error:
            raise UserError(f"{path}: {error}. Remedy: delete it, and run again.") from error
        features = np.array([[one[name] for name in of.features] for one in measured], dtype=float)
        made[task] = bootstrap.cluster_sums(features, [row["manual"] for row in own])
    return made


def _values(task: str, sums: np.ndarray) -> np.ndarray:
    """Return the metrics (..., m) from sums (..., k)."""
    of = METRICS_OF[task]
    values = of.statistics(sums)
    return np.where(np.isfinite(values), values, of.undefined)


def _shown(ablation: Ablation, name: str) -> Row:
    """Return what the results say of a variant: its metrics, of the mean of its seeds, and each."""
    facts, side = ablation.variants[name], ablation.side(name)
    values: Row = {}
    for task, sums in side.sums.items():
        mean, each = _values(task, sums.mean(axis=0).sum(axis=0)), _values(task, sums.sum(axis=1))
        for i, metric in enumerate(METRICS_OF[task].metrics):
            values[metric] = {"value": finite(mean[i]), "seeds": [*map(finite, each[:, i])]}
    kept = ("of", "method", "around", "switched", "parent", "runs")
    return {name: facts[name] for name in kept} | {"metrics": values}


def _effect(ablation: Ablation, variant: Row) -> Row:
    """Return an effect without its numbers; an inert one has no task, and the reason."""
    inert = variant["inert"]
    facts = {name: variant[name] for name in ("of", "method", "around", "switched", "parent")}
    own, parent = ablation.side(variant["name"]), ablation.side(variant["parent"])
    moved = [t for t in own.sums if not np.array_equal(own.sums[t], parent.sums[t])]
    names = variant["name"], variant["parent"]
    keys = [[one["prediction"] for one in ablation.variants[n]["runs"]] for n in names]
    reused = keys[0] == keys[1]
    if inert is None and reused and not moved:
        inert = "it scores none of these answers otherwise"
    # Of a variant with answers of its own, a task that did not move is measured: as zero.
    tasks = moved if reused else list(own.sums)
    return {
        "variant": variant["name"],
        **facts,
        "defect": " + ".join(variant["switched"]),
        "seeds": len(variant["runs"]),
        "reused": reused,
        "inert": inert,
        "tasks": {} if inert else {task: {} for task in tasks},
    }


def _measure(ablation: Ablation, effect: Row, task: str, settings: Bootstrap, rounds: int) -> None:
    """Enter the metrics of a task, with the defect and without, into an effect."""
    pair = [ablation.side(effect[name]) for name in ("parent", "variant")]
    without, having = pair if effect["around"] == "sound" else pair[::-1]
    first, second = without.sums[task], having.sums[task]
    before, after = (_values(task, sums.mean(axis=0).sum(axis=0)) for sums in (first, second))
    name = f"{effect['variant']} {task}"
    drawn = _drawn(task, without, having, settings, name)
    p = swapped_p(
        first.mean(axis=0),
        second.mean(axis=0),
        lambda sums: _values(task, sums),
        rounds,
        generator(settings.seed, "swap", name),
    )
    for i, metric in enumerate(METRICS_OF[task].metrics):
        low, high = bootstrap.percentile(drawn[:, i], settings.confidence)
        if effect["reused"] and low == high == 0:  # of the same answers, no test: it cannot move
            continue
        numbers = before[i], after[i], after[i] - before[i], low, high, p[i], math.nan
        effect["tasks"][task][metric] = {
            key: finite(number) for key, number in zip(NUMBERS, numbers, strict=True)
        }


def _drawn(task: str, without: Side, having: Side, settings: Bootstrap, name: str) -> np.ndarray:
    """Return (replicates, m): the effects where manuals and seeds are drawn again."""
    first, second = without.sums[task], having.sums[task]
    seeds = len(first), len(second)
    side_by_side = np.concatenate([*first, *second], axis=1)
    rng = generator(settings.seed, "bootstrap", name)
    sums = bootstrap.resampled(side_by_side, settings.replicates, rng)
    sums = sums.reshape(len(sums), sum(seeds), first.shape[-1])
    weights = [_weights(count, len(sums), settings, f"{name} {i}") for i, count in enumerate(seeds)]
    if without.trainings == having.trainings:  # one training answered for both
        weights[1] = weights[0]
    sides = np.split(sums, [seeds[0]], axis=1)
    means = [np.einsum("rs,rsk->rk", w, part) for w, part in zip(weights, sides, strict=True)]
    return _values(task, means[1]) - _values(task, means[0])


def _weights(seeds: int, replicates: int, settings: Bootstrap, name: str) -> np.ndarray:
    """Return (replicates, seeds): the share of each seed where so many are drawn again."""
    rng = generator(settings.seed, "seeds", name)
    return rng.multinomial(seeds, np.full(seeds, 1 / seeds), replicates) / seeds


def _adjust(effects: list[Row]) -> None:
    """Give each test the p that holds for all effects of the ablation together."""
    tests = [
        (metric == PUBLISHED[task][0], numbers)
        for effect in effects
        for task, metrics in effect["tasks"].items()
        for metric, numbers in metrics.items()
    ]
    for main in (True, False):
        family = [numbers for is_main, numbers in tests if is_main == main]
        adjusted = holm([math.nan if one["p"] is None else one["p"] for one in family])
        for one, p in zip(family, adjusted, strict=True):
            one["p_holm"] = finite(p)


def _noise(ablation: Ablation, confidence: float) -> Row:
    """Return experiment → metric → how far two means over seeds differ by luck alone."""
    from scipy.stats import t

    spreads: dict[tuple[str, str], list[tuple[float, int]]] = {}
    seen = set()
    for name, variant in ablation.variants.items():
        keys = tuple(one["prediction"] for one in variant["runs"]), tuple(variant["scoring"])
        if len(variant["runs"]) < 2 or keys in seen:
            continue
        seen.add(keys)
        for task, sums in ablation.side(name).sums.items():
            squares = np.var(_values(task, sums.sum(axis=1)), axis=0, ddof=1)
            for metric, square in zip(METRICS_OF[task].metrics, squares, strict=True):
                if math.isfinite(square):
                    known = spreads.setdefault((variant["of"], metric), [])
                    known.append((float(square), len(sums)))
    noise: Row = {}
    for (of, metric), known in spreads.items():
        freedom = sum(seeds - 1 for _, seeds in known)
        square = sum(square * (seeds - 1) for square, seeds in known) / freedom
        half = t.ppf((1 + confidence) / 2, freedom) * math.sqrt(2 * square / known[0][1])
        noise.setdefault(of, {})[metric] = {"half_width": float(half), "freedom": freedom}
    return noise


def _costs(ablation: Ablation) -> Row:
    """Return what was asked for, what was made, and how long the trainings took."""
    plan = ablation.plan
    runs = [one for variant in plan["variants"] for one in variant["runs"]]
    trained = {
        key: float(read_json(ablation.run / one["folder"] / "run.json")["seconds"])
        for key, one in plan["trainings"].items()
    }
    return {
        "trainings_asked": sum(one["training"] is not None for one in runs),
        "trainings_made": len(trained),
        "from_the_study": sum(one["experiment"] is not None for one in plan["trainings"].values()),
        "training_seconds": sum(trained.values()),
        "predictions_asked": len(runs),
        "predictions_made": len(plan["predictions"]),
        "answers": len(plan["predictions"]) * len(ablation.common["instances"]),
        "seconds": trained,
    }


def _rows(content: Row) -> Iterator[Row]:
    """Yield the rows of the CSV: an effect's metrics, or the reason why it has none."""
    for effect in content["effects"]:
        facts = {name: effect[name] for name in COLUMNS if name in effect}
        if effect["inert"]:
            yield facts
        for task, metrics in effect["tasks"].items():
            for metric, numbers in metrics.items():
                yield facts | content["counts"][task] | numbers | {"task": task, "metric": metric}
