"""The real architectures with random weights, a real vocabulary, and rows to train them on."""

import json
import subprocess
import sys
from pathlib import Path

import torch
from drawn_rows import conversations, draw_turns
from qwen_files import flat_config, write_surroundings, write_weights
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.initialization import no_init_weights

from legor1.core.files import write_jsonl
from legor1.data.sources import describe_model
from legor1.models.registry import DEFAULT

FIXTURE = Path(__file__).parents[1] / "fixtures" / "qwen_prompts"
LENGTH = 1_000_003  # of the numbers that weights repeat: no row's width divides it


def random_model(repo: str) -> Qwen2_5_VLForConditionalGeneration:
    """Return a known model in bfloat16 with small normal weights, each copied, not drawn."""
    with no_init_weights():
        model = Qwen2_5_VLForConditionalGeneration._from_config(
            Qwen2_5_VLConfig(**DEFAULT.known[repo]), dtype=torch.bfloat16
        )
    numbers = torch.randn(LENGTH, generator=torch.Generator().manual_seed(1)).mul(0.02).bfloat16()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
                continue
            for part in parameter.view(-1).split(LENGTH):
                part.copy_(numbers[: len(part)])
    return model.eval()


def write_base(folder: Path, repo: str) -> Path:
    """Write a random model as the hub has it, in shards; return its ``model.json``."""
    write_surroundings(folder, flat_config(repo))
    write_weights(folder, random_model(repo))
    record = folder.with_suffix(".json")
    describe_model(folder, "random weights", None, record)
    return record


def write_rows(folder: Path, count: int) -> tuple[Path, Path]:
    """Write object rows with their images; return the conversations and their tree."""
    tree = folder / "tree"
    tree.mkdir(parents=True)
    sizes = [((480, 360), (360, 480))[number % 2] for number in range(count)]
    turns = draw_turns(tree, sizes, box=lambda number: (40 + 30 * number, 60, 260, 200))
    rows = conversations(turns, [[]] * count)
    write_jsonl(folder / "train.jsonl", rows)
    return folder / "train.jsonl", tree


def train(given: dict, base: Path, folder: Path, count: int) -> None:
    """Train on ``count`` rows by the command of the rules; the result is in ``folder``/out."""
    conversations, tree = write_rows(folder, count)
    command = [sys.executable, "-m", "legor1.cli.main", "train", "--recipe", json.dumps(given)]
    paths = {"conversations": conversations, "tree": tree, "base": base}
    paths |= {"work": folder / "work", "out": folder / "out"}
    command += [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def recipe(method: str, **changes) -> dict:
    """Return the recipe of one step; ``changes`` come last."""
    training = {"steps": 1, "batch_size": 2, "accumulation": 1, "learning_rate": 0.001}
    training |= {"scheduler": "constant", "warmup": 0, "max_grad_norm": 1.0, "save_steps": 100}
    training |= {"logging_steps": 1, "gradient_checkpointing": True}
    if method == "grpo":
        training |= {"generations": 2, "max_new_tokens": 4, "temperature": 1.0, "beta": 0.0}
        training |= {"repetition_penalty": 1.0, "loss_type": "dapo", "suite": "sound"}
        training |= {"scale_rewards": "group"}
        training |= {"rewards": {"format": 0.1, "object": 1.0}}
    return {
        "experiment": method,
        "method": method,
        "seed": 42,
        "device": "cpu",
        "precision": "bfloat16",
        "attention": "sdpa",
        "threads": 2,
        "processes": 1,
        "max_tokens": None,
        "pixel_budget": {"min_pixels": 3136, "max_pixels": 15680},
        "demonstrations": False,
        "tasks": ["object"],
        "rows_per_task": 4,
        "lora": {"r": 8, "alpha": 16, "dropout": 0.0},
        "training": training,
    } | changes
