"""Train SFT with ZeRO-2 on the ranks that torchrun starts: a program of its own.

torchrun … sft_ranks.py stock|packed FOLDER        FOLDER gets numbers.json and a checkpoint
"""

import sys
from pathlib import Path

from sft_cases import dataset, numbers, trainer
from trainer_cases import train_a_rank

from legor1.training.job import DEEPSPEED


def main(kind: str, out: Path) -> None:
    """Three steps of two batches a rank."""
    made = trainer(
        kind == "packed",
        out,
        dataset(8),
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        gradient_checkpointing=True,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        save_strategy="steps",
        save_steps=3,
        ddp_backend="gloo",
        deepspeed=DEEPSPEED,
    )
    train_a_rank(made, numbers)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
