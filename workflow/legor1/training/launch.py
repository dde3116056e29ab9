"""Start a training job: `accelerate launch` with DeepSpeed ZeRO-2, on GPUs or on CPU.

The job itself is ``legor1.training.sft`` or ``legor1.training.grpo``; this module needs no torch.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from legor1.errors import UserError
from legor1.files import write_json
from legor1.resume import fingerprint

METHODS = ("sft", "grpo")


def command(recipe: dict[str, Any], job: Path) -> list[str]:
    """Return the command line that runs ``job`` under accelerate with DeepSpeed.

    DeepSpeed is asked for outright: accelerate's ``--cpu`` would leave it out silently.
    """
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--use_deepspeed"]
    launch += ["--num_processes", str(recipe["processes"]), "--num_machines", "1"]
    launch += ["--mixed_precision", "bf16" if recipe["precision"] == "bfloat16" else "no"]
    launch += ["--dynamo_backend", "no", "--zero_stage", "2", "--main_process_port", "0"]
    return [*launch, "--module", f"legor1.training.{recipe['method']}", str(job)]


def train(
    recipe: dict[str, Any],
    conversations: Path,
    tree: Path,
    base: Path,
    work: Path,
    out: Path,
    code: Sequence[Path] = (),
) -> None:
    """Train one experiment's adapter into ``out``, resuming from ``work`` where it can.

    Args:
        recipe: the experiment's block of the config, resolved.
        conversations: ``train.jsonl``.
        tree: the dataset tree that the conversations' image paths start from.
        base: ``model.json`` of the base model.
        work: where checkpoints of all trainings lie, each in a folder named by its fingerprint.
        out: gets ``adapter/``, ``history.jsonl`` and ``run.json``.
        code: the files of the package that do it; a checkpoint of other code is left alone.

    Raises:
        UserError: the training ended with an error; its message stands above.
    """
    folder = work / fingerprint(recipe, [conversations, base, *code])
    paths = {"conversations": conversations, "tree": tree, "base": base, "work": folder, "out": out}
    job = folder / "job.json"
    write_json(job, {"recipe": recipe} | {k: str(p.resolve()) for k, p in paths.items()})
    status = subprocess.run(command(recipe, job), env=environment(recipe), check=False).returncode
    if status:
        raise UserError(
            f"training {recipe['experiment']} ended with status {status}; the reason stands above. "
            "Remedy: put it right and run again: it goes on from the last checkpoint."
        )


def environment(recipe: dict[str, Any]) -> dict[str, str]:
    """Return the environment of the job: threads and accelerator fixed, nothing sent anywhere."""
    fixed = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
    fixed["PYTHONWARNINGS"] = "ignore"
    if recipe["device"] == "cpu":
        fixed |= {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""}
        fixed["OMP_NUM_THREADS"] = str(recipe["threads"])
    return os.environ | fixed
