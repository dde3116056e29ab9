"""Small GRPO trainings on the tiny base model, to compare the stock trainer with the shared one."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, Image, List
from peft import LoraConfig
from PIL import Image as Picture
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration
from trl import GRPOConfig, GRPOTrainer
from trl.data_utils import prepare_multimodal_messages

from legor1.modeling import LORA_TARGETS
from legor1.training.group_trainer import SharedPromptGRPOTrainer

TINY = Path(__file__).parents[2] / "workflow/base/tiny"
SIZES = [(120, 90), (90, 140), (200, 100)]


def picture(seed: int) -> Picture.Image:
    width, height = SIZES[seed % len(SIZES)]
    values = np.random.default_rng(seed).integers(100, 256, (height // 10, width // 10, 3))
    return Picture.fromarray(values.astype(np.uint8)).resize((width, height))


def dataset(count: int = 4, images: tuple[int, ...] = (1, 2)) -> Dataset:
    """Prompts of unequal length with so many images by turns; the first image shows in all."""
    rows = []
    for number in range(count):
        shown = [
            picture(100 * place * (number + 1)) for place in range(images[number % len(images)])
        ]
        content: list[dict[str, Any]] = [{"type": "image"} for _ in shown]
        content.append({"type": "text", "text": "What is here? " * (number + 1)})
        rows.append({"prompt": [{"role": "user", "content": content}], "images": shown})
    return Dataset.from_list(rows).cast_column("images", List(Image()))


def reward(completions: list[Any], **_: Any) -> list[float]:
    """Some number that a completion's text decides."""
    return [zlib.crc32(turns[0]["content"].encode()) % 97 / 97 for turns in completions]


def prompts(rows: list[int], data: Dataset | None = None) -> list[Any]:
    """Return the prompts of the given numbers as conversations that hold their images."""
    data = data or dataset()
    return [
        prepare_multimodal_messages(data[row]["prompt"], images=data[row]["images"]) for row in rows
    ]


def batch(
    trainer: GRPOTrainer, rows: list[tuple[int, int]], data: Dataset | None = None
) -> dict[str, Any]:
    """Return what TRL would score for rows of (prompt, tokens of the completion, drawn here).

    Prompts are padded on the left, completions on the right.
    """
    conversations = prompts([number for number, _ in rows], data)
    inputs = trainer.processing_class.apply_chat_template(
        conversations,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True},
    )
    lengths = torch.tensor([length for _, length in rows])
    width = int(lengths.max())
    draw = torch.Generator().manual_seed(width)
    completions = torch.randint(10, 500, (len(rows), width), generator=draw)
    behind = torch.zeros_like(completions)
    mask = (torch.arange(width) < lengths[:, None]).long()
    made = {
        "input_ids": torch.cat([inputs["input_ids"], completions], 1),
        "attention_mask": torch.cat([inputs["attention_mask"], mask], 1),
        "logits_to_keep": width,
        "mm_token_type_ids": torch.cat([torch.as_tensor(inputs["mm_token_type_ids"]), behind], 1),
    }
    if "pixel_values" not in inputs:
        return made
    counts = [sum(p["type"] == "image" for t in c for p in t["content"]) for c in conversations]
    images = {name: inputs[name] for name in ("pixel_values", "image_grid_thw")}
    return made | images | {"num_images": counts}


def lora_weights(trainer: GRPOTrainer) -> dict[str, torch.Tensor]:
    """Return what was trained, flat."""
    named = trainer.model.named_parameters()
    return {name: p.detach().flatten() for name, p in named if p.requires_grad}


def numbers(trainer: GRPOTrainer) -> list[dict[str, float]]:
    """Return what the trainer logged of each step, but for times and our own entries."""
    steps = [log for log in trainer.state.log_history if "loss" in log]
    return [
        {k: float(v) for k, v in log.items() if k != "step_time" and "shared_prompts" not in k}
        for log in steps
    ]


def trainer(shared: bool, out: Path, data: Dataset | None = None, **changes: Any) -> GRPOTrainer:
    """Return a trainer of the tiny base; LoRA's output matrices are not 0, as after some steps."""
    options = {name: changes.pop(name) for name in ("check", "remember") if name in changes}
    attention = changes.pop("attention", "sdpa")
    lora = changes.pop("lora", LoraConfig(r=4, lora_alpha=8, target_modules=LORA_TARGETS))
    settings: dict[str, Any] = {
        "output_dir": str(out),
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 12,
        "max_steps": 3,
        "learning_rate": 1e-3,
        "beta": 0.1,
        "loss_type": "grpo",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": 3,
    }
    made = (SharedPromptGRPOTrainer if shared else GRPOTrainer)(
        model=Qwen2_5_VLForConditionalGeneration.from_pretrained(
            TINY, dtype=torch.float32, attn_implementation=attention
        ),
        reward_funcs=reward,
        args=GRPOConfig(**settings | changes),
        train_dataset=data or dataset(),
        processing_class=AutoProcessor.from_pretrained(TINY, padding_side="left"),
        peft_config=lora,
        **options if shared else {},
    )
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in made.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.05, generator=draw)
    return made
