"""The models that the benchmarks of training and inference run, in float32."""

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
    "hidden_size": 256,
    "num_heads": 4,
    "intermediate_size": 768,
    "out_hidden_size": 512,
}


def tiny() -> Any:
    """Return the shipped base model, trained."""
    import torch
    from transformers import Qwen2_5_VLForConditionalGeneration

    return Qwen2_5_VLForConditionalGeneration.from_pretrained(TINY, dtype=torch.float32)


def middle(vision_layers: int = 6) -> Any:
    """Return a mid-size model of random weights: text 512 × 8 layers, vision 256 wide."""
    import torch
    from transformers import AutoConfig, Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(TINY)
    config.text_config.update(MIDDLE_TEXT)
    last = {"depth": vision_layers, "fullatt_block_indexes": [vision_layers - 1]}
    config.vision_config.update(MIDDLE_VISION | last)
    config.dtype = torch.float32
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.pad_token_id = config.text_config.pad_token_id
    return model
