"""SFT with ZeRO-2 on one of two ranks, which forked_runs.py starts."""

from pathlib import Path

from sft_cases import dataset, numbers, trainer
from trainer_cases import train_a_rank

from legor1.training.job import DEEPSPEED


def main(kind: str, out: str) -> None:
    """Take three steps of two batches a rank; ``out`` gets numbers.json and a checkpoint."""
    made = trainer(
        kind == "packed",
        Path(out),
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
