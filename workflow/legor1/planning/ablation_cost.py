"""What an ablation asks for, before anything is converted: trainings, predictions, hours.

At most: which conversations will turn out alike is not known yet. What a defect cannot change, by
its method or by the kind of prompt, is counted once.
"""

import json
from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import replace
from typing import Any

from legor1.config import ablation
from legor1.config.ablation import Variant
from legor1.config.job_params import Job, prediction_job, training_job
from legor1.config.models import Config, Trained
from legor1.planning.shared_work import anonymous
from legor1.planning.tokens import Load
from legor1.published.defects import SWITCHES
from legor1.published.published_settings import ASKED_TO_REASON


def asked(config: Config) -> tuple[int, int]:
    """Return how many trainings and predictions the variants ask for, shared or not."""
    runs = [one.method for one in ablation.variants(config) for _ in one.experiments]
    return len(runs) - runs.count("baseline"), len(runs)


def distinct(config: Config) -> tuple[list[str], list[str]]:
    """Return the experiments of the expanded config whose trainings, or answers, are their own."""
    expanded = ablation.expanded(config)
    trainings: dict[Hashable, str] = {}
    predictions: dict[Hashable, str] = {}
    for variant in ablation.variants(config):
        data = _data(variant)
        for name in variant.experiments.values():
            key: Hashable = None
            if isinstance(expanded.experiments[name], Trained):
                key = (data, _settings(training_job(expanded, name)))
                trainings.setdefault(key, name)
            predictions.setdefault((data, key, _settings(prediction_job(expanded, name))), name)
    return [*trainings.values()], [*predictions.values()]


def common(config: Config, loads: dict[str, Load]) -> dict[str, Load]:
    """Return the loads of the common test set, from those of one protocol's test set.

    Two ways to split leave the test fraction of each other's test rows in common.
    """
    block = config.ablation
    splits = {"row_split" in variant.defects for variant in ablation.variants(config)}
    share = config.prepare.test_fraction ** (len(splits) - 1)
    rows = {task: round(load.rows * share) for task, load in loads.items()}
    left = block.test_rows if block and block.test_rows is not None else sum(rows.values())
    for place, task in enumerate(sorted(rows, key=rows.__getitem__)):
        rows[task] = min(rows[task], left // (len(rows) - place))
        left -= rows[task]
    return {task: replace(load, rows=rows[task]) for task, load in loads.items() if rows[task]}


def hours(stages: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Return machine → seconds of all stages."""
    spent: dict[str, float] = defaultdict(float)
    for stage in stages:
        spent[stage["machine"]] += sum(stage["seconds"].values()) * stage["machines"]
    return spent


def _data(variant: Variant) -> tuple[str, ...]:
    """Return the defects of data that a variant's prompts can have."""
    plain = ASKED_TO_REASON if variant.variant == "plain" else ()
    on = (name for name in SWITCHES if name in variant.defects and name not in plain)
    return (variant.of, *on)


def _settings(job: Job) -> str:
    return json.dumps(anonymous(job), sort_keys=True)
