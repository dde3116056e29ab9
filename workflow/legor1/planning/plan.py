"""The plan of a run: for each experiment tokens, memory and time, and whether it fits."""

import json
from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from legor1.config import ablation
from legor1.config.ablation import Variant
from legor1.config.job_params import Job, prediction_job, training_job
from legor1.config.models import Config, External, Trained
from legor1.core.files import read_json, read_jsonl
from legor1.core.layout import RunLayout
from legor1.core.templates import rendered
from legor1.models.registry import architecture_of_base, family_of_base
from legor1.planning import duration, machines, memory, tokens
from legor1.planning.machines import GIB, GPUS, Machine
from legor1.planning.memory import Moments
from legor1.planning.preflight import TINY_BASE
from legor1.planning.shared_work import anonymous
from legor1.planning.tokens import Load
from legor1.published.defects import SWITCHES
from legor1.published.published_settings import ASKED_TO_REASON

NEEDED = ("task", "width", "height", "prompt", "response", "demonstrations")

# As ``schemas/plan.schema.json`` says precisely.
Stage = dict[str, Any]
Plan = dict[str, Any]


def plan(config: Config, gpu: str | None = None, run: Path | None = None) -> Plan:
    """Return what a run of ``config`` asks for; a UserError if the base model is not known.

    Args:
        gpu: a name of ``machines.GPUS`` for all stages; else what the rules ask for.
        run: the run's folder; of a base model and conversations that are there, lengths are
            counted, and assumed where they are missing.
    """
    planner = _Planner(config, gpu, run)
    tried = {"ablation": _ablation(config, gpu, run)} if config.ablation else {}
    return tried | {
        "schema_version": 1,
        "run": config.run,
        "base": planner.arch.name,
        "parameters": planner.arch.parameters(),
        "shards": config.inference.shards,
        "text": "estimated" if planner.count is tokens.estimate else "counted",
        "experiments": {name: planner.experiment(name) for name in config.experiments},
        "assumptions": machines.ASSUMPTIONS,
    }


def _ablation(config: Config, gpu: str | None, run: Path | None) -> dict[str, object]:
    """Return what an ablation asks for at most, as ``schemas/plan.schema.json`` says.

    At most, for which conversations will turn out alike is not known before anything is converted.
    """
    planner = _AblationPlanner(config, gpu, run)
    trainings, predictions = planner.distinct()
    stages = [(name, planner._training(name)) for name in trainings]
    stages += [(name, planner._prediction(name)) for name in predictions]
    asked = [one.method for one in planner.variants for _ in one.experiments]
    trained = len(asked) - asked.count("baseline")
    return {
        "trainings": {"asked": trained, "distinct": len(trainings)},
        "predictions": {"asked": len(asked), "distinct": len(predictions)},
        "rows": sum(load.rows for load in planner.loads(predictions[0], "test")[1].values()),
        "seconds": _by_machine(stage for _, stage in stages),
        "problems": _problems(stages),
    }


class _Planner:
    """What the plans of all experiments of a run have in common."""

    def __init__(self, config: Config, gpu: str | None, run: Path | None) -> None:
        self.config, self.gpu, self.layout = config, gpu, RunLayout(run) if run else None
        folder = TINY_BASE if config.base.source == "shipped" else None
        if self.layout and (described := Path(self.layout.base_model)).is_file():
            folder = described.parent / read_json(described)["path"]
        self.family = family_of_base(config.base.as_mapping(), folder)
        self.arch = architecture_of_base(config.base.as_mapping(), folder)
        self.count = tokens.counter(folder)

    def loads(self, name: str, side: str) -> tuple[str, dict[str, Load]]:
        """Return where an experiment's numbers are from, and its loads of ``train`` or ``test``."""
        config, own = self.config, self.config.experiments[name]
        sizes = config.pixel_budget_of(name) if side == "train" else config.tested_at(name)
        budget, shown = self.family.budget(**sizes.as_mapping()), own.demonstrations
        if self.layout:
            path = Path(self.layout.data.conversations(own.protocol, own.variant, side))
            if path.is_file() and (rows := read_jsonl(path, NEEDED)):
                counted = tokens.measured(rows, budget, self.count, demonstrations=shown)
                return path.as_posix(), counted
        tested = config.prepare.test_fraction
        share = 1 - tested if side == "train" else tested
        return "assumed", tokens.assumed(config.dataset, share, budget, demonstrations=shown)

    def experiment(self, name: str) -> dict[str, object]:
        """Return the plan of an experiment's training, if it has one, and of its predictions."""
        settings = self.config.experiments[name]
        stages = [self._training(name)] if isinstance(settings, Trained) else []
        stages += [] if isinstance(settings, External) else [self._prediction(name)]
        return {"method": settings.method, "stages": stages}

    def _training(self, name: str) -> Stage:
        job = training_job(self.config, name)
        source, by_task = self.loads(name, "train")
        chosen = [by_task[task] for task in job.tasks if task in by_task]
        most = job.rows_per_task
        load = tokens.together(replace(each, rows=min(each.rows, most)) for each in chosen)
        machine = self._machine(job, machines.TRAIN_ON)
        moments, new = memory.training(self.arch, job, load), memory.written(job, load)
        return {
            "stage": "train",
            "lengths": source,
            "machines": job.processes,
            "trainable_parameters": self.arch.lora_parameters(job.lora.r),
            "steps": duration.steps(job.training, job.processes, load.rows),
            "start_from": job.start_from,
            **self._needs(job, machine, load, new, moments, f"experiments.{name}.training"),
            "seconds": duration.training(self.arch, job, load, machine),
        }

    def _prediction(self, name: str) -> Stage:
        job, settings = prediction_job(self.config, name), self.config.experiments[name]
        source, by_task = self.loads(name, "test")
        load, machine = tokens.together(by_task.values()), self._machine(job, machines.PREDICT_ON)
        rank = settings.lora.r if isinstance(settings, Trained) else 0
        moments = memory.inference(self.arch, job, load, rank)
        shards = self.config.inference.shards
        return {
            "stage": "predict",
            "lengths": source,
            "machines": 1,
            **self._needs(job, machine, load, job.max_new_tokens, moments, "inference"),
            "seconds": duration.predict(self.arch, job, shards, by_task, machine),
        }

    def _machine(self, job: Job, gpu: str) -> Machine:
        return machines.cpu(job.threads) if job.device == "cpu" else GPUS[self.gpu or gpu]

    def _needs(
        self, job: Job, machine: Machine, load: Load, new: int, moments: Moments, where: str
    ) -> Stage:
        """Return what a stage takes, and why it does not fit if it does not."""
        fullest, needed = memory.fullest(moments)
        longest, limit = load.prompt.most + new, job.max_tokens or self.arch.context
        problem, capacity = "", machine.memory
        if longest > limit:
            problem = (
                f"meets prompts of {longest:,} tokens with their answer, the limit is {limit:,}. "
                f"Remedy: lower {memory.PIXELS}, show no demonstrations, or raise max_tokens."
            )
        elif needed > capacity:
            remedy = memory.remedy(moments, machine, where, job)
            problem = (
                f"needs {needed / GIB:.1f} GiB at its fullest ({fullest}), {machine.name} has "
                f"{capacity / GIB:.1f}. Remedy: {remedy}."
            )
        lengths = {"visual": load.visual, "prompt": load.prompt, "answer": load.answer}
        return {
            "machine": machine.name,
            "rows": load.rows,
            "tokens": {kind: asdict(spread) for kind, spread in lengths.items()},
            "memory": moments,
            "fullest": fullest,
            "needed": needed,
            "capacity": capacity,
            "fits": not problem,
            "problem": problem,
        }


class _AblationPlanner(_Planner):
    """The same for the experiments of an ablation, which answer the common test set alone."""

    def __init__(self, config: Config, gpu: str | None, run: Path | None) -> None:
        super().__init__(config, gpu, run)
        self.whole, self.config = config, ablation.expanded(config)
        self.variants = ablation.variants(config)
        self.layout = self.layout and self.layout.ablation

    def distinct(self) -> tuple[list[str], list[str]]:
        """Return the experiments whose trainings, or answers, are their own.

        What a defect cannot change, by its method or by the kind of prompt, is counted once.
        """
        trainings: dict[Hashable, str] = {}
        predictions: dict[Hashable, str] = {}
        for variant in self.variants:
            data = _data(variant)
            for name in variant.experiments.values():
                key: Hashable = None
                if isinstance(self.config.experiments[name], Trained):
                    key = (data, _settings(training_job(self.config, name)))
                    trainings.setdefault(key, name)
                answered = (data, key, _settings(prediction_job(self.config, name)))
                predictions.setdefault(answered, name)
        return [*trainings.values()], [*predictions.values()]

    def loads(self, name: str, side: str) -> tuple[str, dict[str, Load]]:
        """Return what ``_Planner`` does, of the common test set.

        Two ways to split leave the test fraction of each other's test rows in common.
        """
        source, loads = super().loads(name, side)
        if side == "train":
            return source, loads
        block, splits = self.whole.ablation, {"row_split" in one.defects for one in self.variants}
        share = self.whole.prepare.test_fraction ** (len(splits) - 1)
        rows = {task: round(load.rows * share) for task, load in loads.items()}
        left = block.test_rows if block and block.test_rows is not None else sum(rows.values())
        for place, task in enumerate(sorted(rows, key=rows.__getitem__)):
            rows[task] = min(rows[task], left // (len(rows) - place))
            left -= rows[task]
        kept = {t: replace(load, rows=rows[t]) for t, load in loads.items() if rows[t]}
        return source, kept


def _data(variant: Variant) -> tuple[str, ...]:
    """Return the defects of data that a variant's prompts can have."""
    plain = ASKED_TO_REASON if variant.variant == "plain" else ()
    on = (name for name in SWITCHES if name in variant.defects and name not in plain)
    return (variant.of, *on)


def _settings(job: Job) -> str:
    return json.dumps(anonymous(job), sort_keys=True)


def misfits(plan: Plan) -> list[str]:
    """Return one sentence for each stage of an experiment that does not fit its machine."""
    each = plan["experiments"].items()
    own = _problems((name, stage) for name, made in each for stage in made["stages"])
    return own + plan.get("ablation", {}).get("problems", [])


def _problems(stages: Iterable[tuple[str, Stage]]) -> list[str]:
    return [f"{name}: {one['stage']} {one['problem']}" for name, one in stages if not one["fits"]]


def render(plan: Plan) -> str:
    """Return the plan as text: the verdict, each stage, the assumptions."""
    return rendered("plan.txt.j2", {"plan": plan, "summary": summary(plan)}).rstrip("\n")


def summary(plan: Plan) -> str:
    """Return one line, hours by machine, and one more for each stage that does not fit."""
    each = plan["experiments"].values()
    spent = _by_machine(stage for experiment in each for stage in experiment["stages"])
    shown = {"spent": spent, "unfit": misfits(plan), "ablation": plan.get("ablation")}
    return rendered("plan_summary.txt.j2", shown).rstrip("\n")


def _by_machine(stages: Iterable[Stage]) -> dict[str, float]:
    """Return machine → seconds of all stages."""
    spent: dict[str, float] = defaultdict(float)
    for stage in stages:
        spent[stage["machine"]] += sum(stage["seconds"].values()) * stage["machines"]
    return spent
