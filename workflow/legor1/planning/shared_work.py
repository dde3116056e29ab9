"""Which trainings and predictions the variants of an ablation need, each once: ``plan.json``.

A training is known by a digest of its recipe and of the conversations that it reads, a prediction
by one of its recipe, of what it is asked, and of its training. Variants that have the same digests
share the work, and one that shares all of it with its parent changes nothing here. A training that
the study makes anyway is taken from there.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from legor1.config import ablation
from legor1.config.ablation import Variant
from legor1.config.job_params import Job, TrainingJob, prediction_job, training_job
from legor1.config.models import Config, Experiment, Trained
from legor1.core.files import read_jsonl, write_json
from legor1.core.layout import IN_RUN
from legor1.published import published_settings
from legor1.tasks.task import Row

TRIED = IN_RUN.ablation
DIGITS = 12  # of a digest, hexadecimal
PROSE = {"baseline": "experiments without training", "sft": "SFT", "grpo": "GRPO"}


def write_plan(run: Path, config: Config, out: Path) -> dict[str, int]:
    """Write the plan of the ablation of ``config``; return what is asked for and what is made."""
    planner = _Planner(run, config)
    variants = [planner.variant(one) for one in ablation.variants(config)]
    content = {
        "schema_version": 1,
        "trainings": planner.trainings,
        "predictions": planner.predictions,
        "variants": variants,
    }
    write_json(out, content)
    runs = [each for one in variants for each in one["runs"]]
    return {
        "variants": len(variants),
        "trainings asked for": sum(each["training"] is not None for each in runs),
        "made": sum(one["experiment"] is None for one in planner.trainings.values()),
        "predictions asked for": len(runs),
        "predictions": len(planner.predictions),
    }


class _Planner:
    """The plan as it grows; paths are below the run's folder."""

    def __init__(self, run: Path, config: Config) -> None:
        self.run, self.config = run, config
        self.expanded = ablation.expanded(config)
        self.trainings: dict[str, Row] = {}
        self.predictions: dict[str, Row] = {}
        self.planned: dict[str, Row] = {}
        self._rows = cache(self._digest_of_rows)
        self.study = dict(self._study())

    def variant(self, variant: Variant) -> Row:
        """Return what the plan says of a variant; its parent has been planned before."""
        runs = [
            {"seed": seed, **self._work(name, variant)}
            for seed, name in variant.experiments.items()
        ]
        facts = vars(variant) | {"scoring": variant.scoring, "runs": runs}
        del facts["experiments"]  # whose work the runs name
        parent = self.planned.get(variant.parent or "")
        self.planned[variant.name] = facts
        facts["inert"] = parent and self._why_inert(variant, facts, parent)
        return facts

    def _work(self, name: str, variant: Variant) -> Row:
        """Return the keys of the training, if any, and of the prediction of one experiment."""
        block, key = self.expanded.experiments[name], None
        if isinstance(block, Trained):
            job = training_job(self.expanded, name)
            path = TRIED.data.conversations(variant.protocol, variant.variant, "train")
            key = self._training_key(job, path)
            known = {"recipe": anonymous(job) | {"experiment": key}, "conversations": path}
            own = self.study.get(key)
            folder = IN_RUN.adapter(own) if own else TRIED.adapter(key)
            self.trainings.setdefault(key, known | {"folder": folder, "experiment": own})
        asked = prediction_job(self.expanded, name)
        path = TRIED.test(variant.protocol, variant.variant)
        rows = self._rows(path, None, shown=asked.demonstrations)
        answered = _digest(anonymous(asked), key, rows)
        known = {"recipe": anonymous(asked) | {"experiment": answered}, "conversations": path}
        self.predictions.setdefault(answered, known | {"training": key})
        return {"training": key, "prediction": answered}

    def _study(self) -> Iterator[tuple[str, str]]:
        """Yield the key and the name of each training that the study itself makes."""
        of = self.config.ablation.of if self.config.ablation else []
        for name, block in self.config.experiments.items():
            if isinstance(block, Trained) and (block.repeats or name) in of:
                path = IN_RUN.data.conversations(block.protocol, block.variant, "train")
                if not (self.run / path).is_file():  # the command alone need not have it
                    continue
                yield self._training_key(training_job(self.config, name), path), name

    def _training_key(self, job: TrainingJob, path: str) -> str:
        read = self._rows(path, tuple(job.tasks), shown=job.demonstrations)
        return f"{job.method}-{_digest(anonymous(job), read)}"

    def _digest_of_rows(self, path: str, tasks: tuple[str, ...] | None, *, shown: bool) -> str:
        """Return a digest of the conversations in a file that a job reads, as it reads them."""
        hashed = hashlib.sha256()
        for row in read_jsonl(self.run / path, ["task"]):
            if tasks is None or row["task"] in tasks:
                seen = row if shown else {n: v for n, v in row.items() if n != "demonstrations"}
                hashed.update(json.dumps(seen, sort_keys=True).encode())
        return hashed.hexdigest()

    def _why_inert(self, variant: Variant, own: Row, parent: Row) -> str | None:
        """Return why a variant has no numbers but its parent's; None where it may have some."""
        answers = [[one["prediction"] for one in each["runs"]] for each in (own, parent)]
        scored = [set(each["scoring"]) - {"no_intervals"} for each in (own, parent)]
        if answers[0] != answers[1] or scored[0] != scored[1]:
            return None
        block = self.config.experiments[variant.of]
        reasons = (_reason(defect, variant, block) for defect in variant.switched)
        return "; ".join(dict.fromkeys(reasons))


def _reason(defect: str, variant: Variant, block: Experiment) -> str:
    """Return why a defect changes nothing in a variant."""
    if defect == "no_intervals":
        return "it hides how sure a number is, and moves none"
    if methods := published_settings.methods(defect):
        if variant.method not in methods:
            return f"it concerns {' and '.join(PROSE[name] for name in methods)} alone"
        return f"{variant.of} has these settings as it is"
    if defect in published_settings.ASKED_TO_REASON and variant.variant == "plain":
        return f"it is in prompts that ask for reasoning alone, and {variant.of} asks plainly"
    read = "training and test" if isinstance(block, Trained) else "test"
    return f"the {read} conversations of {variant.of} are the same without it, to the last byte"


def anonymous(job: Job) -> Row:
    """Return a recipe without the name of its experiment, which decides nothing."""
    return {name: value for name, value in job.as_mapping().items() if name != "experiment"}


def _digest(recipe: Mapping[str, object], *others: str | None) -> str:
    facts = json.dumps([recipe, *others], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:DIGITS]
