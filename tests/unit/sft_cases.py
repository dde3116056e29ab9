"""Small SFT trainings on the tiny base model, to compare the stock trainer with the packed one."""

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, Image, List
from grpo_cases import TINY, lora_weights, picture
from peft import LoraConfig
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration
from trl import SFTConfig, SFTTrainer

from legor1.modeling import LORA_TARGETS
from legor1.training.packed_trainer import PackedSFTTrainer

__all__ = ["TINY", "dataset", "lora_weights", "numbers", "trainer"]


def dataset(count: int = 6, images: tuple[int, ...] = (1, 2, 3)) -> Dataset:
    """Examples of unequal length with so many images by turns; the first image shows in all."""
    rows = []
    for number in range(count):
        shown = [
            picture(100 * place * (number + 1)) for place in range(images[number % len(images)])
        ]
        content: list[dict[str, Any]] = [{"type": "image"} for _ in shown]
        content.append({"type": "text", "text": "What is here? " * (number + 1)})
        said = "Place the brick. " * (1 + (7 * number) % 4)
        answer = {"role": "assistant", "content": [{"type": "text", "text": said}]}
        prompt = [{"role": "user", "content": content}]
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
    options = {name: changes.pop(name) for name in ("remember", "ahead") if name in changes}
    attention = changes.pop("attention", "sdpa")
    lora = changes.pop("lora", LoraConfig(r=4, lora_alpha=8, target_modules=LORA_TARGETS))
    settings: dict[str, Any] = {
        "output_dir": str(out),
        "per_device_train_batch_size": 3,
        "max_length": None,
        "max_steps": 3,
        # Adam divides small gradients by themselves: rounding would grow to a whole step.
        "optim": "sgd",
        "learning_rate": 0.1,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": 3,
    }
    made = (PackedSFTTrainer if packed else SFTTrainer)(
        model=Qwen2_5_VLForConditionalGeneration.from_pretrained(
            TINY, dtype=torch.float32, attn_implementation=attention
        ),
        args=SFTConfig(**settings | changes),
        train_dataset=data or dataset(),
        processing_class=AutoProcessor.from_pretrained(TINY, padding_side="left"),
        peft_config=lora,
        **options if packed else {},
    )
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in made.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.05, generator=draw)
    return made
