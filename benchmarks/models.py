"""The models that the benchmarks of training and inference run: on CPU in float32."""

from pathlib import Path
from typing import Any

REAL = "Qwen/Qwen2.5-VL-7B-Instruct"
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


def make(name: str, attention: str, *, frozen: bool, vision_layers: int = 6) -> Any:
    """Return the model of a case: tiny and middle on CPU in float32, real on a GPU in bfloat16.

    Args:
        name: tiny, middle or real.
        attention, frozen: of the real one.
        vision_layers: of the middle one.
    """
    if name == "real":
        return real(attention, frozen)
    return tiny() if name == "tiny" else middle(vision_layers)


def real(attention: str, frozen: bool = True) -> Any:
    """Return the 7B architecture on the GPU: random weights, bfloat16, the tiny base's tokens.

    Args:
        attention: flash_attention_2 or sdpa.
        frozen: keep the vision tower out of training, as the pipeline does.
    """
    import torch
    from transformers import AutoConfig, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    from legor1.models.loading import freeze_vision
    from legor1.models.registry import DEFAULT

    tiny = AutoConfig.from_pretrained(TINY)
    names = [name for name in vars(tiny) if name.endswith("_token_id")]
    tokens = {name: getattr(tiny, name) for name in names}
    config = Qwen2_5_VLConfig(**DEFAULT.known[REAL] | tokens)
    ends = {name: getattr(tiny.text_config, name) for name in ("eos_token_id", "pad_token_id")}
    config.text_config.update(ends)
    torch.manual_seed(0)
    with torch.device("cuda"):
        model = Qwen2_5_VLForConditionalGeneration._from_config(
            config, dtype=torch.bfloat16, attn_implementation=attention
        )
    model.generation_config = model.generation_config.from_pretrained(TINY)
    return freeze_vision(model) if frozen else model


def write_real(folder: Path) -> None:
    """Write ``real`` as a base model into ``folder``/7B, 17 GB, and its ``model.json``."""
    import shutil

    from legor1.data.sources import describe_model

    own = shutil.ignore_patterns("*.safetensors", "config.json")
    shutil.copytree(TINY, folder / "7B", ignore=own)
    real("sdpa").save_pretrained(folder / "7B", max_shard_size="4GB")
    describe_model(folder / "7B", "random weights", None, folder / "model.json")
