"""Measure the memory that a training step of the tiny base takes, in bytes: a program of its own.

A request has the sizes of a step: ``{"sequences": 32, "text": 64, "visual": 16, …}``. A fork takes
the step, and leaves the growth of resident memory over what was there before it, at its peak. Pages
go back to the system as they are freed, or the peak of the warm-up would hide the step's.
"""

import gc
import os
from pathlib import Path

import torch
from loaded import run_fork, serve
from peft import get_peft_model
from trl.trainer.utils import add_fused_lm_head

from legor1.models.loading import load_model
from legor1.models.registry import DEFAULT
from legor1.planning.preflight import TINY_BASE
from legor1.training.job import Job


def resident(name: str) -> int:
    """Return ``VmRSS`` (now) or ``VmHWM`` (peak) in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return 1024 * int(line.split()[1])


def batch(given: dict, config) -> dict:
    """Return inputs of the wanted shape: text, one square image's tokens, text."""
    side = 2 * round(given["visual"] ** 0.5)
    ids = torch.randint(0, 256, (given["sequences"], given["text"] + given["visual"]))
    ids[:, 4 : 4 + given["visual"]] = config.image_token_id
    ids[:, 3] = config.vision_start_token_id
    tower = config.vision_config
    values = tower.in_channels * tower.temporal_patch_size * tower.patch_size**2
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "mm_token_type_ids": (ids == config.image_token_id).long(),
        "pixel_values": torch.randn(given["sequences"] * side * side, values),
        "image_grid_thw": torch.tensor([[1, side, side]] * given["sequences"]),
        "labels": ids.masked_fill(ids == config.image_token_id, -100),
    }


def main(given: dict) -> None:
    """Load, warm up by one small step, then measure one."""
    recipe = {"precision": "float32", "attention": "sdpa", "lora": given["lora"]}
    base = load_model(TINY_BASE, recipe)
    add_fused_lm_head(base, outputs=("log_probs", "entropy", "is_top1"))
    job = Job.__new__(Job)
    job.family, job.recipe = DEFAULT, recipe
    model = get_peft_model(base, job.lora()).train()
    if given["checkpointing"]:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])

    def step(inputs: dict) -> None:
        if given["head"]:
            model(**inputs, fused_lm_head=True).loss.backward()
        else:
            inputs.pop("labels")
            base.model(**inputs, use_cache=False).last_hidden_state.mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    step(batch(given | {"sequences": 1}, base.config))
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    step(batch(given, base.config))
    Path(given["result"]).write_text(str(resident("VmHWM") - before))


def measure(given: dict) -> int:
    """Return the exit status of a fork that measures a step."""
    return run_fork(lambda: main(given), given["log"], dict(os.environ))


if __name__ == "__main__":
    serve(measure)
