"""The vision tower is kept out of training: no gradient, no graph, no activation checkpointing."""

import pytest
import torch
from measure_step import batch
from peft import get_peft_model

from legor1.models.loading import freeze_vision, load_model
from legor1.models.registry import DEFAULT
from legor1.planning.preflight import TINY_BASE
from legor1.training.job import Job

RECIPE = {
    "precision": "float32",
    "attention": "sdpa",
    "lora": {"r": 4, "alpha": 8, "dropout": 0.0},
}


def step(base) -> tuple[dict[str, torch.Tensor], list[str], bool]:
    """Take a step with checkpointing, as the trainers set it up.

    Returns the gradients, the names of the blocks that checkpointed, and whether the image features
    needed a gradient.
    """
    torch.manual_seed(0)
    job = Job.__new__(Job)
    job.family, job.recipe = DEFAULT, RECIPE
    model = get_peft_model(base, job.lora())
    model.enable_input_require_grads()
    model.gradient_checkpointing_disable()  # as around each rollout
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    called, needed = [], []
    for name, module in base.named_modules():
        if getattr(module, "gradient_checkpointing", False):
            checkpoint = module._gradient_checkpointing_func

            def recorded(*args, name=name, checkpoint=checkpoint, **kwargs):
                called.append(name)
                return checkpoint(*args, **kwargs)

            module._gradient_checkpointing_func = recorded
    base.model.visual.merger.register_forward_hook(
        lambda *given: needed.append(given[-1].requires_grad)
    )
    given = batch({"sequences": 2, "text": 12, "visual": 16}, base.config)
    model(**given).loss.backward()
    moved = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    return moved, called, any(needed)


def test_no_block_of_the_tower_is_checkpointed_and_nothing_else_changes():
    moved, called, needed = step(freeze_vision(load_model(TINY_BASE, RECIPE)))
    assert called == [f"model.language_model.layers.{n}" for n in range(4)]
    assert not needed
    assert moved and not [name for name in moved if "visual" in name]
    stock, stock_called, stock_needed = step(load_model(TINY_BASE, RECIPE))
    assert [name for name in stock_called if "visual.blocks" in name]  # what is prevented
    assert stock_needed
    for name, gradient in moved.items():
        assert gradient.numpy() == pytest.approx(stock[name].numpy(), abs=1e-6)
