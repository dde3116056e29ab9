"""Train GRPO with ZeRO-2 on the ranks that torchrun starts: a program of its own.

torchrun … grpo_ranks.py stock|shared FOLDER        FOLDER gets numbers.json and a checkpoint
"""

import sys
from pathlib import Path

from grpo_cases import numbers, trainer
from trainer_cases import train_a_rank

from legor1.training.job import DEEPSPEED


def main(kind: str, out: Path) -> None:
    """Two steps of two groups a rank, in two forward passes."""
    made = trainer(
        kind == "shared",
        out,
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


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
