"""On a GPU: the 7B model, each stage beside the plain way, and trainings beside their plan.

    make benchmark-gpu         about 10 minutes on an H200; 40 GB of GPU memory, 20 GB of disk

The architecture is the real one, its weights are random, so that nothing is downloaded and answers
run to their full length. Bfloat16, activation checkpointing, one GPU. Prompts show two images.

- grpo: a step of G = 8 completions of 48 tokens, images of 1,296 visual tokens; stock and ours.
- sft: steps of one example, likewise.
- inference: a manual's test prompts in batches by tokens, beside a loop over threes in file order.
- study: the `sft` and `grpo` of config.yaml take some steps by `legor1 train`; their memory and
  time beside what `legor1 plan` says.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "8")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import grpo
import inference
import models
import sft
import torch
from drawing import draw
from pydantic import TypeAdapter
from transformers import PrinterCallback, TrainerCallback

from legor1.config import job_params
from legor1.config.settings import load
from legor1.core.files import read_json, read_jsonl

ROOT = Path(__file__).parents[1]
VISUAL = 1296  # tokens of an image, of 28 × 28 pixels each
PAGE = "1240x1754"  # a manual's page at 150 dots an inch
STEPS = {"sft": 4, "grpo": 2}
GIB = 2**30


class Clock(TrainerCallback):
    """Seconds, peak GPU memory and loss of each step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Begin anew."""
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        self.started = time.perf_counter()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Note the step."""
        torch.cuda.synchronize()
        seconds = time.perf_counter() - self.started
        self.steps.append({"seconds": seconds, "peak": torch.cuda.max_memory_allocated() / GIB})

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Note the loss of the step that just ended."""
        if "loss" in (logs or {}):
            self.steps[-1]["loss"] = float(logs["loss"])


def timed(make: Callable[[bool, str], Any], ours: bool) -> list[dict[str, float]]:
    """Train one side and return its steps but the first."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as out:
        trainer = make(ours, out)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(clock)
        trainer.train()
    del trainer
    gc.collect()
    torch.cuda.empty_cache()
    return clock.steps[1:]


def compare(name: str, make: Callable[[bool, str], Any], count: int, unit: str) -> None:
    """Print a pair: the stock trainer and ours, ``count`` of ``unit`` a step."""
    sides = {side: timed(make, side == "ours") for side in ("stock", "ours")}
    median, peak = {}, {}
    for side, steps in sides.items():
        median[side] = statistics.median(step["seconds"] for step in steps)
        peak[side] = max(step["peak"] for step in steps)
        rate = f"{count / median[side]:7.2f} {unit}/s"
        print(f"{name:9} {side:6} {rate}  {median[side]:6.2f} s a step  {peak[side]:6.1f} GiB")
    losses = (abs(a["loss"] - b["loss"]) for a, b in zip(*sides.values(), strict=True))
    print(
        f"          × {median['stock'] / median['ours']:.2f} by the clock; "
        f"peak × {peak['ours'] / peak['stock']:.2f}; losses differ by {max(losses):.1e}\n",
        flush=True,
    )


def compare_grpo(folder: Path, attention: str) -> None:
    """Print a step of GRPO beside the stock trainer's."""
    case = grpo.Case("real", 36 * 28, 48, 1, 3, 3.0, attention)
    compare(
        "grpo",
        lambda ours, out: grpo.make_trainer(case, ours, out),
        grpo.GENERATIONS,
        "completions",
    )


def compare_sft(folder: Path, attention: str) -> None:
    """Print steps of SFT beside the stock trainer's."""
    case = sft.Case("real", VISUAL * 28**2, 1, 3, attention)
    compare("sft", lambda ours, out: sft.make_trainer(case, folder, ours, out), 1, "examples")


def compare_inference(folder: Path, attention: str) -> None:
    """Print the engine's predictions beside the plain loop's."""
    from legor1.inference.predict import Predictor
    from legor1.inference.transformers_engine import CACHED
    from legor1.models.feature_cache import FeatureCache

    recipe = {"engine": "transformers", "device": "cuda", "precision": "bfloat16"}
    recipe |= {"attention": attention, "threads": int(os.environ["OMP_NUM_THREADS"])}
    recipe |= {"pixel_budget": {"min_pixels": 3136, "max_pixels": VISUAL * 28**2}}
    recipe |= {"demonstrations": True, "max_new_tokens": 128, "repetition_penalty": 1.0}
    recipe |= {"batch_tokens": 131072, "batch_size": None}
    base, tree = base_folder(folder), folder / "tree"
    rows = read_jsonl(folder / "conversations/plain/test.jsonl", ["instance_id"])
    predictor = Predictor(recipe, tree, base, None)
    inference.end_as_the_true_answers(predictor, rows)
    said, took = {}, {}
    for side, answer in inference.SIDES.items():
        [*answer(predictor, tree, rows[:3])]  # warms up
        predictor.engine.cache = FeatureCache(CACHED, "cpu")
        torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        said[side] = dict(answer(predictor, tree, rows))
        took[side] = time.perf_counter() - started
        peak = torch.cuda.max_memory_allocated() / GIB
        rate = f"{len(rows) / took[side]:7.2f} examples/s"
        print(f"inference {side:6} {rate}  {took[side]:6.2f} s in all  {peak:6.1f} GiB")
    same = sum(answer == said["engine"][row] for row, answer in said["plain"].items())
    ratio = took["plain"] / took["engine"]
    print(
        f"          × {ratio:.2f}; {same} of {len(rows)} answers the same in bfloat16\n", flush=True
    )


def base_folder(folder: Path) -> Path:
    """Return the folder of the base model, which is written when first asked for."""
    if not (folder / "model.json").exists():
        models.write_real(folder)
        gc.collect()
        torch.cuda.empty_cache()
    return folder / "7B"


def train_the_study(folder: Path, attention: str) -> None:
    """Print memory and time of the sound experiments' first steps, beside the plan's."""
    base_folder(folder)
    config = load(ROOT / "config.yaml", {"attention": attention})
    for name in ("sft", "grpo"):
        recipe = job_params.training(config, name)
        del recipe["training"]["epochs"]
        recipe["training"] |= {"steps": STEPS[name], "logging_steps": 1}
        out = folder / name
        train(recipe, folder, out)
        show(recipe, folder, out)


def train(recipe: dict[str, Any], folder: Path, out: Path) -> None:
    """Run a training by the command that the rules run."""
    command = [sys.executable, "-m", "legor1.cli.main", "train", "--recipe", json.dumps(recipe)]
    command += ["--conversations", str(folder / "conversations/plain/train.jsonl")]
    command += ["--tree", str(folder / "tree"), "--base", str(folder / "model.json")]
    command += ["--work", str(folder / "work"), "--out", str(out)]
    subprocess.run(command, check=True)


def show(recipe: dict[str, Any], folder: Path, out: Path) -> None:
    """Print what a training took and what the plan says of it."""
    from legor1.models.registry import DEFAULT
    from legor1.planning import duration, memory, tokens
    from legor1.planning.machines import GPUS

    arch = DEFAULT.architecture("7B", DEFAULT.known[models.REAL])
    budget = DEFAULT.budget(**recipe["pixel_budget"])
    rows = read_jsonl(folder / "conversations/plain/train.jsonl", ["task"])
    loads = tokens.measured(rows, budget, tokens.counter(folder / "7B"), demonstrations=True)
    load = tokens.together(loads.values())
    job = TypeAdapter(job_params.JOBS["train"]).validate_python(recipe)
    moment, most = memory.fullest(memory.training(arch, job, load))
    seconds = duration.training(arch, job, load, GPUS["H100"])
    planned = (sum(seconds.values()) - seconds["start"]) / recipe["training"]["steps"]
    facts, history = read_json(out / "run.json"), read_jsonl(out / "history.jsonl")
    measured = facts["peak_memory_mib"] / 1024
    stepped = [row["step_time"] for row in history if "step_time" in row]
    stepped = stepped or [row["train_runtime"] / facts["steps"] for row in history[-1:]]
    print(
        f"{recipe['experiment']:9} prompts of {load.prompt.mean:.0f} tokens, at most "
        f"{load.prompt.most}; {facts['attention']}\n"
        f"          peak {measured:6.1f} GiB, planned {most / GIB:6.1f} ({moment}); "
        f"{stepped[-1]:6.2f} s a step, planned {planned:6.2f} on an H100\n"
        f"          {json.dumps(history[-2])}\n",
        flush=True,
    )


PARTS = {
    "grpo": compare_grpo,
    "sft": compare_sft,
    "inference": compare_inference,
    "study": train_the_study,
}


def main() -> None:
    """Run the parts that are asked for and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=PARTS, nargs="+", default=[*PARTS])
    parser.add_argument("--attention", default="sdpa", choices=["sdpa", "flash_attention_2"])
    parser.add_argument("--folder", type=Path, help="keep data and weights here, for another run")
    given = parser.parse_args()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {given.attention}")
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        if not (folder / "conversations").exists():
            draw(folder, manuals=6, steps=2, objects=6, sizes=PAGE)
        for part in given.only:
            PARTS[part](folder, given.attention)


if __name__ == "__main__":
    main()
