"""Trainings of two steps of four rows each, split in some way; also on one of two ranks.

GRPO gets completions that are fixed, so that each split of a step has the same ones.
"""

from pathlib import Path
from typing import Any

import grpo_cases
import sft_cases
import torch
from trainer_cases import lora_weights, train_a_rank

from legor1.training.job import DEEPSPEED
from legor1.training.sft import set_loss_mean


def fixed(prompts: list[list[int]], *_: Any) -> tuple[list[list[int]], None]:
    """Return completions that a prompt and the row's place in its group decide."""
    made: list[list[int]] = []
    for row, prompt in enumerate(prompts):
        place = sum(1 for other in prompts[:row] if other == prompt)
        draw = torch.Generator().manual_seed(sum(prompt) + 7919 * place)
        length = int(torch.randint(2, 13, (), generator=draw))
        made.append(torch.randint(10, 500, (length,), generator=draw).tolist())
    return made, None


def make(kind: str, out: Path, batch: int, accumulation: int, **changes: Any) -> Any:
    """Return a trainer of four rows a step; in GRPO they are completions of two prompts."""
    method, _, how = kind.partition("-")
    settings = {"max_steps": 2, "optim": "sgd", "learning_rate": 0.1} | changes
    settings |= {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
    if method.startswith("sft"):
        made: Any = sft_cases.trainer(how == "packed", out, sft_cases.dataset(8), **settings)
        set_loss_mean(made, "step" if method == "sft" else "forward_pass")
        return made
    settings |= {"num_generations": 2, "loss_type": method}
    made = grpo_cases.trainer(how == "shared", out, grpo_cases.dataset(8), **settings)
    made._generate_single_turn = fixed
    return made


def adapter(made: Any) -> list[float]:
    """Return what was trained, flat."""
    return torch.cat([*lora_weights(made).values()]).tolist()


def main(kind: str, out: str) -> None:
    """Train on one of two ranks: each takes two rows, one by one."""
    saved = {"save_strategy": "steps", "save_steps": 2}
    parallel = {"ddp_backend": "gloo", "deepspeed": DEEPSPEED}
    train_a_rank(make(kind, Path(out), 1, 2, **saved, **parallel), adapter)
