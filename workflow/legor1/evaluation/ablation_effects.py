"""The predictions of an ablation → ``ablation.json``: what each defect moves, by how much.

An effect is the metric with the defect less the metric without it, of a variant and its own parent:
one has the defect on alone, or the other has it off alone. Both answered the common test set, so
every difference is paired.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd

from legor1.core.errors import UserError
from legor1.core.files import read_json, read_jsonl, write_json, write_text
from legor1.core.layout import IN_RUN
from legor1.evaluation import paired
from legor1.evaluation.scoring import REQUIRED, SOUND, Bootstrap, clustered, examples, finite
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
ABOUT = {
    "interval": "percentile bootstrap of manuals and training seeds",
    "test": "answers of whole manuals swapped at random, on the mean of the seeds; p_holm: Holm "
    "over all effects of the ablation, the main metrics as one family and the others as another",
    "noise": "half the width that holds a difference of two means over the seeds, if the seed is "
    "all that differs: Student's t, spread pooled over all variants of an experiment",
}
Sums = Mapping[str, np.ndarray]  # task → (clusters, k)


class Ablation:
    """What an ablation in the run's folder ``run`` has planned and predicted."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.plan, self.common = read_json(run / TRIED.plan), read_json(run / TRIED.common)
        self.variants: dict[str, Row] = {one["name"]: one for one in self.plan["variants"]}
        summed = cache(partial(_summed, run, self.common["instances"]))
        self.sums: dict[str, Sums] = {}  # variant → task → (seeds, clusters, k)
        for name, variant in self.variants.items():
            scoring = frozenset(variant["scoring"]) - {"no_intervals"}
            each = [summed(one["prediction"], scoring) for one in variant["runs"]]
            self.sums[name] = {task: np.stack([sums[task] for sums in each]) for task in each[0]}

    def keys(self, name: str, kind: str) -> list[str | None]:
        """Return which ``training`` or ``prediction`` each of a variant's runs is of."""
        return [one[kind] for one in self.variants[name]["runs"]]


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
    paired.adjust(
        (metric == PUBLISHED[task][0], numbers)
        for effect, task in live
        for metric, numbers in effect["tasks"][task].items()
    )
    content = {
        "schema_version": 1,
        "confidence": settings.confidence,
        "replicates": settings.replicates,
        "rounds": max(rounds, settings.replicates),
        "about": ABOUT,
        "test_set": {name: ablation.common[name] for name in ("available", "tasks", "manuals")},
        "counts": _counts(ablation),
        "main": {task: names[0] for task, names in PUBLISHED.items() if names},
        "variants": {name: _shown(ablation, name) for name in ablation.variants},
        "effects": effects,
        "noise": _noise(ablation, settings.confidence),
        "bundles": _bundles(run, ablation.plan["variants"]),
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


def _summed(run: Path, instances: list[str], key: str, defects: frozenset[str]) -> Sums:
    """Return task → the features summed over each manual, manuals in their sorted order."""
    path, scoring = run / TRIED.predictions(key), _scoring(defects)
    rows = read_jsonl(path, REQUIRED)
    if sorted(row["instance_id"] for row in rows) != instances:
        raise UserError(
            f"{path} does not answer the common test set. Remedy: delete it, and run again."
        )
    by_task = examples(rows, scoring, path)
    return {task: clustered(own, scoring[task]) for task, own in by_task.items()}


def _counts(ablation: Ablation) -> dict[str, dict[str, int]]:
    """Return task → its examples and manuals."""
    first = next(iter(ablation.plan["predictions"]))
    frame = pd.DataFrame(read_jsonl(ablation.run / TRIED.predictions(first)))
    return {
        task: {"n": len(of), "manuals": of["manual"].nunique()}
        for task, of in frame.groupby("task")
    }


def _shown(ablation: Ablation, name: str) -> Row:
    """Return what the results say of a variant: its metrics, of the mean of its seeds, and each."""
    facts, values = ablation.variants[name], dict[str, Row]()
    for task, sums in ablation.sums[name].items():
        scoring = METRICS_OF[task]
        mean, each = scoring.values(sums.mean(axis=0).sum(axis=0)), scoring.values(sums.sum(axis=1))
        for i, metric in enumerate(scoring.metrics):
            values[metric] = {"value": finite(mean[i]), "seeds": [*map(finite, each[:, i])]}
    kept = ("of", "method", "around", "switched", "parent", "runs")
    return {name: facts[name] for name in kept} | {"metrics": values}


def _effect(ablation: Ablation, variant: Row) -> Row:
    """Return an effect without its numbers; an inert one has no task, and the reason."""
    inert = variant["inert"]
    facts = {name: variant[name] for name in ("of", "method", "around", "switched", "parent")}
    names = variant["name"], variant["parent"]
    own, parent = (ablation.sums[name] for name in names)
    moved = [task for task in own if not np.array_equal(own[task], parent[task])]
    answers, inherited = (ablation.keys(name, "prediction") for name in names)
    reused = answers == inherited
    if inert is None and reused and not moved:
        inert = "it scores none of these answers otherwise"
    # Of a variant with answers of its own, a task that did not move is measured: as zero.
    tasks = moved if reused else list(own)
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
    around = ("parent", "variant") if effect["around"] == "sound" else ("variant", "parent")
    without, having = (effect[name] for name in around)
    measured = paired.differences(
        f"{effect['variant']} {task}",
        METRICS_OF[task],
        (ablation.sums[without][task], ablation.sums[having][task]),
        settings,
        ("without", "with", "effect"),
        rounds=rounds,
        same_trainings=ablation.keys(without, "training") == ablation.keys(having, "training"),
    )
    for metric, numbers in measured.items():
        # Of the same answers, no test: it cannot move.
        if not (effect["reused"] and numbers["low"] == numbers["high"] == 0):
            effect["tasks"][task][metric] = numbers


def _noise(ablation: Ablation, confidence: float) -> Row:
    """Return experiment → metric → how far two means over seeds differ by luck alone."""
    from scipy.stats import t

    spreads: dict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
    seen = set()
    for name, variant in ablation.variants.items():
        keys = tuple(one["prediction"] for one in variant["runs"]), tuple(variant["scoring"])
        if len(variant["runs"]) < 2 or keys in seen:
            continue
        seen.add(keys)
        for task, sums in ablation.sums[name].items():
            squares = np.var(METRICS_OF[task].values(sums.sum(axis=1)), axis=0, ddof=1)
            for metric, square in zip(METRICS_OF[task].metrics, squares, strict=True):
                if math.isfinite(square):
                    spreads[variant["of"], metric].append((float(square), len(sums)))
    noise: Row = {}
    for (of, metric), known in spreads.items():
        freedom = sum(seeds - 1 for _, seeds in known)
        square = sum(square * (seeds - 1) for square, seeds in known) / freedom
        half = t.ppf((1 + confidence) / 2, freedom) * math.sqrt(2 * square / known[0][1])
        noise.setdefault(of, {})[metric] = {"half_width": float(half), "freedom": freedom}
    return noise


def _bundles(run: Path, variants: Sequence[Row]) -> list[Row]:
    """Return defects that need each other, as bundles of the next ablation, by what audits counted.

    A defect that is found under all defects, but neither alone nor without some other, leaks only
    through that one: alone it measures nothing. ``variants`` are those of the plan; only what was
    switched alone, on and off, can tell.
    """
    protocols = {
        (one["around"], *one["switched"]): one["protocol"]
        for one in variants
        if len(one["switched"]) <= 1
    }
    if not {("sound",), ("thesis",)} <= protocols.keys():
        return []
    audits = {
        key: read_json(run / TRIED.data.audit(protocol))["findings"]
        for key, protocol in protocols.items()
    }
    made: list[Row] = []
    for defect in [key[1] for key in protocols if key[0] == "sound" and len(key) == 2]:
        counted = {key: _counted(findings, defect) for key, findings in audits.items()}
        for what, (together, n) in counted["thesis",].items():
            quiet = [key for key, counts in counted.items() if counts.get(what, (1, 1))[0] == 0]
            needed = [other for around, *other in quiet if around == "thesis" and other != [defect]]
            if together and needed and ("sound", defect) in quiet:
                counts = {"alone": 0, "together": together, "n": n}
                defects = [*itertools.chain(*needed), defect]
                made.append({"defects": defects, "measured": what} | counts)
    return made


def _counted(findings: Sequence[Row], defect: str) -> dict[str, tuple[int, int]]:
    """Return what was measured of a defect → how many cases were found, and looked at.

    Only what should not happen at all can be counted: there ``chance`` is none.
    """
    return {
        f"{one['measured']} ({one['variant'] or 'both variants'})": (
            round(one["value"] * one["n"]),
            one["n"],
        )
        for one in findings
        if one["defect"] == defect and one["value"] is not None and not one["chance"]
    }


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
