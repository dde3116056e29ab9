"""GRPO with ZeRO-2 on one of two ranks, which forked_runs.py starts."""

from pathlib import Path

from grpo_cases import numbers, trainer
from trainer_cases import train_a_rank

from legor1.training.job import DEEPSPEED


def main(kind: str, out: str) -> None:
    """Take two steps of two groups a rank, in two forward passes.

    ``out`` gets numbers.json and a checkpoint.
    """
    made = trainer(
        kind == "shared",
        Path(out),
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        gradient_checkpointing=True,
        max_steps=2,
        save_strategy="steps",
        save_steps=2,
        ddp_backend="gloo",
        deepspeed=DEEPSPEED,
    )
    train_a_rank(made, numbers)
