"""Trainings of the tiny model in a few steps: their data, their jobs, and what they leave."""

import functools
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from drawn_rows import conversations, draw_turns
from loaded import Loaded
from peft import get_peft_model
from trainer_cases import learn

from legor1.core.files import write_json, write_jsonl
from legor1.data.sources import describe_model
from legor1.models.loading import load_model
from legor1.models.lora import settings as lora_settings
from legor1.models.registry import DEFAULT
from legor1.planning.preflight import TINY_BASE
from legor1.training.launch import environment

SIZES = [(240, 180), (180, 240), (210, 210), (270, 150), (240, 180)] * 2
RECIPE = {
    "seed": 7,
    "device": "cpu",
    "precision": "float32",
    "attention": "sdpa",
    "threads": 1,
    "processes": 1,
    "max_tokens": None,
    "pixel_budget": {"min_pixels": 9408, "max_pixels": 15680},
    "demonstrations": True,
    "tasks": ["object"],
    "rows_per_task": 100,
    "lora": {"r": 4, "alpha": 8, "dropout": 0.1},
}
TRAINING = {
    "steps": 8,
    "batch_size": 1,
    "accumulation": 2,
    "learning_rate": 0.002,
    "scheduler": "cosine",
    "warmup": 2,
    "max_grad_norm": 1.0,
    "save_steps": 2,
    "logging_steps": 3,  # no divisor of save_steps: a line then spans a checkpoint
    "gradient_checkpointing": True,
}
GRPO = {
    "batch_size": 4,
    "generations": 2,
    "max_new_tokens": 24,  # for one part
    "temperature": 1.0,
    "repetition_penalty": 1.0,
    "beta": 0.04,
    "loss_type": "grpo",
    "scale_rewards": "group",
    "suite": "sound",
    "rewards": {"format": 0.1, "object": 1.0},
}


def recipe(method: str, **changes) -> dict:
    """Return a recipe; ``changes`` to its training come under ``training``."""
    training = TRAINING | (GRPO if method == "grpo" else {}) | changes.pop("training", {})
    name = {"experiment": method, "method": method}
    return RECIPE | name | {"training": training} | changes


def write_data(folder: Path) -> dict[str, Path]:
    """Write a tree, its conversations and the note of the base model; return their paths."""
    tree = folder / "tree"
    tree.mkdir(parents=True)
    turns = draw_turns(
        tree,
        SIZES,
        box=lambda number: (30 + 10 * number, 40, 140, 130),
        label=lambda number: f"{number} red 2x4 brick",
    )
    rows = conversations(turns, [turns[-1:], [], turns[:1], *([] for _ in turns[3:])])
    paths = {"conversations": folder / "train.jsonl", "tree": tree, "base": folder / "model.json"}
    write_jsonl(paths["conversations"], rows)
    describe_model(TINY_BASE, "workflow/base/tiny", None, paths["base"])
    return paths


def write_job(
    data: dict[str, Path], folder: Path, recipe: dict, start_from: Path | None = None
) -> Path:
    """Write what ``launch.train`` would; return the job file."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = data | {"work": folder / "work", "out": folder / "out"}
    paths |= {"start_from": start_from} if start_from else {}
    paths["work"].mkdir(exist_ok=True)
    write_json(folder / "job.json", {"recipe": recipe} | {k: str(p) for k, p in paths.items()})
    return folder / "job.json"


def write_adapter(folder: Path, **lora: float) -> Path:
    """Write an adapter of the tiny base that has learnt something; return its folder."""
    shape = lora_settings(**RECIPE["lora"] | lora, targets=DEFAULT.lora_targets)
    model = get_peft_model(load_model(TINY_BASE, RECIPE), shape)
    learn(model)
    model.save_pretrained(folder)
    return folder


def run(folder: Path, *runs: tuple[Path, dict]) -> list[int]:
    """Run jobs one after the other, each with its fate; return their exit statuses.

    ``config`` in a fate changes what TRL is given.
    """
    compiled = folder / "compiled"
    statuses = run_forked(
        {
            "call": ("forked_runs", "train"),
            "arguments": [
                str(job),
                {name: step for name, step in fate.items() if name != "config"},
                fate.get("config", {}),
            ],
            "processes": json.loads(job.read_text())["recipe"]["processes"],
            "environment": {"TORCH_EXTENSIONS_DIR": str(compiled)},
            "log": str(job.with_name("log")),
        }
        for job, fate in runs
    )
    assert not compiled.exists()  # a training that is killed while it compiles would leave a lock
    return statuses


@functools.cache
def _loaded() -> Loaded:
    path = {"PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    return Loaded("forked_runs.py", environment(RECIPE) | path)


def run_forked(runs: Iterable[dict]) -> list[int]:
    """Have ``forked_runs.py`` run these; return their exit statuses."""
    return _loaded().ask([*runs])


def log(job: Path) -> str:
    return job.with_name("log").read_text()


def adapter(job: Path) -> bytes:
    return (job.parent / "out/adapter/adapter_model.safetensors").read_bytes()


def history(job: Path) -> list[dict]:
    """Return the history without times and without the note of where it was resumed."""
    lines = (job.parent / "out/history.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if "resumed" not in row]
    times = ("runtime", "per_second", "step_time", "seconds")
    return [{k: v for k, v in row.items() if not k.endswith(times)} for row in rows]
