"""Small GRPO trainings on the tiny base model, to compare the stock trainer with the shared one."""

import zlib
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, Image, List
from trainer_cases import SETTINGS, learn, question, tiny
from trl import GRPOConfig, GRPOTrainer
from trl.data_utils import prepare_multimodal_messages

from legor1.training.fast.group_trainer import SharedPromptGRPOTrainer


def dataset(count: int = 4, images: tuple[int, ...] = (1, 2)) -> Dataset:
    """Prompts of unequal length with so many images by turns; the first image shows in all."""
    rows = []
    for number in range(count):
        prompt, shown = question(number, images)
        rows.append({"prompt": prompt, "images": shown})
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


def numbers(trainer: GRPOTrainer) -> list[dict[str, float]]:
    """Return what the trainer logged of each step, but for times and our own entries."""
    steps = [log for log in trainer.state.log_history if "loss" in log]
    return [
        {k: float(v) for k, v in log.items() if k != "step_time" and "shared_prompts" not in k}
        for log in steps
    ]


def trainer(shared: bool, out: Path, data: Dataset | None = None, **changes: Any) -> GRPOTrainer:
    """Return a trainer of the tiny base; LoRA's output matrices are not 0, as after some steps."""
    options = {name: changes.pop(name) for name in ("check", "feature_bytes") if name in changes}
    given = tiny(
        **{name: changes.pop(name) for name in ("attention", "lora", "base") if name in changes}
    )
    settings = SETTINGS | {
        "output_dir": str(out),
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 12,
        "learning_rate": 1e-3,
        "beta": 0.1,
        "loss_type": "grpo",
    }
    made = (SharedPromptGRPOTrainer if shared else GRPOTrainer)(
        reward_funcs=reward,
        args=GRPOConfig(**settings | changes),
        train_dataset=data or dataset(),
        **given,
        **options if shared else {},
    )
    learn(made.model)
    return made
