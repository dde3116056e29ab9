"""Small SFT trainings on the tiny base model, to compare the stock trainer with the packed one."""

from pathlib import Path
from typing import Any

from datasets import Dataset, Image, List
from trainer_cases import SETTINGS, learn, question, tiny
from trl import SFTConfig, SFTTrainer

from legor1.training.fast.packed_trainer import PackedSFTTrainer


def dataset(count: int = 6, images: tuple[int, ...] = (1, 2, 3)) -> Dataset:
    """Examples of unequal length with so many images by turns; the first image shows in all."""
    rows = []
    for number in range(count):
        prompt, shown = question(number, images)
        said = "Place the brick. " * (1 + (7 * number) % 4)
        answer = {"role": "assistant", "content": [{"type": "text", "text": said}]}
        rows.append({"prompt": prompt, "completion": [answer], "images": shown})
    return Dataset.from_list(rows).cast_column("images", List(Image()))


def numbers(trainer: SFTTrainer) -> list[dict[str, float]]:
    """Return what the trainer logged of each step."""
    return [
        {name: float(value) for name, value in log.items()}
        for log in trainer.state.log_history
        if "loss" in log
    ]


def trainer(packed: bool, out: Path, data: Dataset | None = None, **changes: Any) -> SFTTrainer:
    """Return a trainer of the tiny base; LoRA's output matrices are not 0, as after some steps."""
    options = {
        name: changes.pop(name) for name in ("feature_bytes", "patch_bytes") if name in changes
    }
    named = [name for name in ("attention", "lora", "base") if name in changes]
    given = tiny(**{name: changes.pop(name) for name in named})
    settings = SETTINGS | {
        "output_dir": str(out),
        "per_device_train_batch_size": 3,
        "max_length": None,
        # Adam divides small gradients by themselves: rounding would grow to a whole step.
        "optim": "sgd",
        "learning_rate": 0.1,
    }
    made = (PackedSFTTrainer if packed else SFTTrainer)(
        args=SFTConfig(**settings | changes),
        train_dataset=data or dataset(),
        **given,
        **options if packed else {},
    )
    learn(made.model)
    return made


def stock_batch(data: Dataset, out: Path) -> tuple[list[str], list[str]]:
    """Return what TRL's own trainer makes of rows: each text, and the part that it scores."""
    settings = SETTINGS | {"output_dir": str(out), "max_length": None}
    made = SFTTrainer(args=SFTConfig(**settings), train_dataset=data, **tiny())
    batch = made.data_collator([made.train_dataset[number] for number in range(len(data))])
    tokenizer = made.processing_class.tokenizer
    texts = [
        tokenizer.decode(ids[mask.bool()])
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    ]
    return texts, [tokenizer.decode(labels[labels >= 0]) for labels in batch["labels"]]
