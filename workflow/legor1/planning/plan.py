"""The plan of a run: for each experiment tokens, memory and time, and whether it fits."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from legor1.config.settings import own
from legor1.core.errors import UserError
from legor1.core.files import read_json, read_jsonl
from legor1.models.family import Architecture, ModelFamily
from legor1.models.registry import architecture_of_base, family_of_base
from legor1.planning import duration, machines, memory, tokens
from legor1.planning.machines import GPUS, Machine
from legor1.planning.preflight import TINY_BASE

Plan = dict[str, Any]
NUMERICS = ("device", "precision", "attention", "threads", "processes", "max_tokens")


def plan(
    config: Mapping[str, Any],
    gpu: str | None = None,
    base: Path | None = None,
    conversations: str | None = None,
) -> Plan:
    """Return what a run of ``config`` asks for (``schemas/plan.schema.json``).

    Args:
        gpu: a name of ``machines.GPUS`` for all stages; else what the rules ask for.
        base: ``model.json`` of the base model, if it is here.
        conversations: folder of ``train.jsonl`` and ``test.jsonl``; an experiment's own settings
            may stand in it, as in ``data/{protocol}/{variant}``. Where a file is missing, lengths
            are assumed.

    Raises:
        UserError: the base model is not known, or a file cannot be read.
    """
    folder = base_folder(config["base"], base)
    family = family_of_base(config["base"], folder)
    arch = architecture_of_base(config["base"], folder)
    lengths = Lengths(config, conversations, tokens.counter(folder), family)
    experiments = {
        name: _experiment(arch, config, name, gpu, lengths) for name in config["experiments"]
    }
    return {
        "schema_version": 1,
        "run": config["run"],
        "base": arch.name,
        "parameters": arch.parameters(),
        "shards": config["inference"]["shards"],
        "text": "estimated" if lengths.count is tokens.estimate else "counted",
        "experiments": experiments,
        "assumptions": {name: asdict(one) for name, one in machines.ASSUMPTIONS.items()},
    }


def base_folder(base: Mapping[str, Any], described: Path | None) -> Path | None:
    """Return where the base model lies, if it is here."""
    if described is not None and described.is_file():
        return described.parent / read_json(described)["path"]
    return TINY_BASE if base["source"] == "shipped" else None


class Lengths:
    """What an experiment's rows take, by task: counted in its conversations, else assumed."""

    def __init__(
        self,
        config: Mapping[str, Any],
        folder: str | None,
        count: tokens.Count,
        family: ModelFamily,
    ) -> None:
        self.config, self.folder, self.count, self.family = config, folder, count, family

    def of(self, name: str, side: str) -> tuple[str, dict[str, tokens.Load]]:
        """Return where an experiment's numbers are from, and its loads of ``train`` or ``test``.

        Raises:
            UserError: the file cannot be read, or holds no conversation.
        """
        experiment = self.config["experiments"][name]
        budget = self.family.budget(**own(self.config, name, "pixel_budget"))
        shown = experiment["demonstrations"]
        path = self._path(experiment, side)
        if path is None or not path.is_file():
            share = self.config["prepare"]["test_fraction"]
            share = 1 - share if side == "train" else share
            dataset = self.config["dataset"]
            return "assumed", tokens.assumed(dataset, share, budget, demonstrations=shown)
        needed = ["task", "width", "height", "prompt", "response", "demonstrations"]
        rows = read_jsonl(path, needed)
        if not rows:
            raise UserError(f"{path} holds no conversation. Remedy: run `legor1 convert` again.")
        loads = tokens.measured(rows, budget, self.count, demonstrations=shown)
        return path.as_posix(), loads

    def _path(self, experiment: Mapping[str, Any], side: str) -> Path | None:
        if self.folder is None:
            return None
        try:
            return Path(self.folder.format(**experiment)) / f"{side}.jsonl"
        except (KeyError, ValueError, IndexError) as error:
            raise UserError(
                f"{self.folder} cannot be filled in: {error}. Remedy: put settings of an "
                f"experiment into the braces: {', '.join(experiment)}."
            ) from error


def misfits(content: Plan) -> list[str]:
    """Return one sentence for each stage of an experiment that does not fit its machine."""
    return [
        f"{name}: {stage['stage']} {stage['problem']}"
        for name, experiment in content["experiments"].items()
        for stage in experiment["stages"]
        if not stage["fits"]
    ]


def _experiment(
    arch: Architecture, config: Mapping[str, Any], name: str, gpu: str | None, lengths: Lengths
) -> Plan:
    """Return the plan of an experiment's training, if it has one, and of all its predictions."""
    experiment = config["experiments"][name]
    numerics = {key: config.get(key) for key in NUMERICS}
    numerics["max_tokens"] = numerics["max_tokens"] or arch.context
    stages = []
    if experiment["method"] != "baseline":
        recipe = numerics | experiment
        source, by_task = lengths.of(name, "train")
        chosen = [by_task[task] for task in recipe["tasks"] if task in by_task]
        most = recipe["rows_per_task"]
        load = tokens.together(replace(one, rows=min(one.rows, most)) for one in chosen)
        machine = _machine(recipe, gpu or machines.TRAIN_ON)
        moments = memory.training(arch, recipe, load)
        seconds = getattr(duration, recipe["method"])(arch, recipe, load, machine)
        facts = {
            "stage": "train",
            "lengths": source,
            "machines": recipe["processes"],
            "trainable_parameters": arch.lora_parameters(recipe["lora"]["r"]),
            "steps": duration.steps(recipe, load.rows),
        }
        where = f"experiments.{name}.training"
        stages.append(facts | _stage(machine, load, moments, seconds, where, recipe))
    recipe = numerics | own(config, name, "inference") | {"lora": experiment.get("lora", {"r": 0})}
    source, by_task = lengths.of(name, "test")
    load, machine = tokens.together(by_task.values()), _machine(recipe, gpu or machines.PREDICT_ON)
    moments = memory.inference(arch, recipe, load)
    seconds = duration.predict(arch, recipe, by_task, machine)
    facts = {"stage": "predict", "lengths": source, "machines": 1}
    stages.append(facts | _stage(machine, load, moments, seconds, "inference", recipe))
    return {"method": experiment["method"], "stages": stages}


def _machine(recipe: Mapping[str, Any], gpu: str) -> Machine:
    return machines.cpu(recipe["threads"]) if recipe["device"] == "cpu" else GPUS[gpu]


def _stage(
    machine: Machine,
    load: tokens.Load,
    moments: dict[str, memory.Parts],
    seconds: duration.Seconds,
    where: str,
    recipe: Mapping[str, Any],
) -> Plan:
    """Return what every stage of a plan has: tokens, memory by moment and part, time by part."""
    fullest, needed = memory.fullest(moments)
    new = recipe.get("training", recipe).get("max_new_tokens", load.answer.most)
    longest, limit = load.prompt.most + new, recipe["max_tokens"]
    problem = ""
    if longest > limit:
        problem = (
            f"meets prompts of {longest:,} tokens with their answer, the limit is {limit:,}. "
            f"Remedy: lower {memory.PIXELS}, show no demonstrations, or raise max_tokens."
        )
    elif needed > machine.memory:
        problem = (
            f"needs {needed / machines.GIB:.1f} GiB at its fullest ({fullest}), {machine.name} has "
            f"{machine.memory / machines.GIB:.1f}. "
            f"Remedy: {memory.remedy(moments, machine, where, recipe)}."
        )
    return {
        "machine": machine.name,
        "rows": load.rows,
        "tokens": {name: asdict(getattr(load, name)) for name in ("visual", "prompt", "answer")},
        "memory": moments,
        "fullest": fullest,
        "needed": needed,
        "capacity": machine.memory,
        "fits": not problem,
        "problem": problem,
        "seconds": seconds,
    }
