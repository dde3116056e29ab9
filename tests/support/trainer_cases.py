"""What the small SFT and GRPO trainings have in common, which compare stock trainers with ours."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig
from PIL import Image as Picture
from transformers import AutoProcessor

from legor1.models.loading import load_model
from legor1.models.registry import DEFAULT

TINY = Path(__file__).parents[2] / "workflow/base/tiny"
SIZES = [(120, 90), (90, 140), (200, 100)]
SETTINGS: dict[str, Any] = {
    "max_steps": 3,
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "logging_steps": 1,
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "seed": 3,
}


def picture(seed: int) -> Picture.Image:
    width, height = SIZES[seed % len(SIZES)]
    values = np.random.default_rng(seed).integers(100, 256, (height // 10, width // 10, 3))
    return Picture.fromarray(values.astype(np.uint8)).resize((width, height))


def question(number: int, images: tuple[int, ...]) -> tuple[list[Any], list[Picture.Image]]:
    """Return a prompt, longer with its number, and its images, as many as ``images`` has by turns.

    The first image shows in all.
    """
    shown = [picture(100 * place * (number + 1)) for place in range(images[number % len(images)])]
    content: list[dict[str, Any]] = [{"type": "image"} for _ in shown]
    content.append({"type": "text", "text": "What is here? " * (number + 1)})
    return [{"role": "user", "content": content}], shown


def tiny(
    attention: str = "sdpa", lora: LoraConfig | None = None, base: Path = TINY
) -> dict[str, Any]:
    """Return what a trainer takes of the tiny base: model, processor, LoRA."""
    return {
        "model": load_model(base, {"precision": "float32", "attention": attention}),
        "processing_class": AutoProcessor.from_pretrained(base, padding_side="left"),
        "peft_config": lora or LoraConfig(r=4, lora_alpha=8, target_modules=DEFAULT.lora_targets),
    }


def learn(model: Any) -> None:
    """Make LoRA's output matrices other than 0, as after some steps."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.05, generator=draw)


def lora_weights(trainer: Any) -> dict[str, torch.Tensor]:
    """Return what was trained, flat."""
    named = trainer.model.named_parameters()
    return {name: p.detach().flatten() for name, p in named if p.requires_grad}


def run_ranks(module: str, kinds: tuple[str, ...], folder: Path, steps: int) -> list[Any]:
    """Return the numbers that two ranks of a module leave, of each kind; ZeRO-2 must be on."""
    from trainings import run_forked  # which imports this module

    for kind in kinds:
        (folder / kind).mkdir(parents=True)
    runs = [
        {
            "call": (module, "main"),
            "arguments": [kind, str(folder / kind)],
            "processes": 2,
            "environment": {},
            "log": str(folder / kind / "log"),
        }
        for kind in kinds
    ]
    for kind, status in zip(kinds, run_forked(runs), strict=True):
        assert status == 0, (folder / kind / "log").read_text()[-3000:]
        assert [*(folder / kind).glob(f"checkpoint-{steps}/global_step{steps}/zero_pp_rank_1*")]
    return [json.loads((folder / kind / "numbers.json").read_text()) for kind in kinds]


def train_a_rank(made: Any, numbers: Callable[[Any], Any]) -> None:
    """Train on one of two ranks; the first writes ``numbers.json`` of the training."""
    assert made.args.world_size == 2
    made.train()
    if made.is_world_process_zero():
        (Path(made.args.output_dir) / "numbers.json").write_text(json.dumps(numbers(made)))
    made.accelerator.end_training()  # a thread of gloo's that outlives the interpreter aborts it
