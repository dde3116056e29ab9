"""The models of the benchmarks, and the machine's own speed that they are held against."""

import os
import time
from pathlib import Path
from typing import Any

TINY = Path(__file__).parents[1] / "workflow/base/tiny"
MIDDLE_TEXT = {
    "hidden_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "intermediate_size": 1536,
    "layer_types": ["full_attention"] * 8,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [8, 12, 12]},
}
MIDDLE_VISION = {
    "depth": 6,
    "hidden_size": 256,
    "num_heads": 4,
    "intermediate_size": 768,
    "out_hidden_size": 512,
    "fullatt_block_indexes": [5],
}


def make_model(name: str) -> Any:
    """Return a model in float32.

    Args:
        name: tiny (the shipped base model, trained), or middle (random weights, text 512 × 8
            layers; its vision tower takes about as much of a step as in the 7B model).
    """
    import torch
    from transformers import AutoConfig, Qwen2_5_VLForConditionalGeneration

    if name == "tiny":
        return Qwen2_5_VLForConditionalGeneration.from_pretrained(TINY, dtype=torch.float32)
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(TINY)
    config.text_config.update(MIDDLE_TEXT)
    config.vision_config.update(MIDDLE_VISION)
    config.dtype = torch.float32
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.pad_token_id = config.text_config.pad_token_id
    return model


def flop_counter() -> Any:
    """Return torch's counter of floating-point operations, the CPU's attention included."""
    import torch
    from torch.utils.flop_counter import (
        FlopCounterMode,
        sdpa_backward_flop_count,
        sdpa_flop_count,
    )

    # Torch counts the attention of GPUs only.
    aten = torch.ops.aten
    attention = {
        aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(
            q, k, v
        ),
        aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda g, q, k, v, *_, **__: (
            sdpa_backward_flop_count(g, q, k, v)
        ),
    }
    return FlopCounterMode(display=False, custom_mapping=attention)


def matrix_speed() -> float:
    """Return the speed of a float32 matrix product here and now, FLOP a CPU second."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    left, right = torch.randn(512, 512), torch.randn(512, 1536)
    left @ right
    started = time.process_time()
    for _ in range(100):
        left @ right
    return 100 * 2 * 512 * 512 * 1536 / (time.process_time() - started)
