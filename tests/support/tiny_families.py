"""Tiny models with random weights of the other families, and what lies beside the hub's."""

from pathlib import Path

import torch
from transformers import (
    AutoProcessor,
    GenerationConfig,
    Qwen2VLImageProcessor,
    Qwen3_5Config,
    Qwen3_5ForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from legor1.planning.preflight import TINY_BASE

HIDDEN = 64
TEXT = {
    "hidden_size": HIDDEN, "intermediate_size": 96, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "max_position_embeddings": 4096, "initializer_range": 0.1,
}  # fmt: skip
VISION = {
    "depth": 3, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2,
    "out_hidden_size": HIDDEN, "num_position_embeddings": 64,
}  # fmt: skip
ROPE = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 2, 2]}
# Type: classes of config and model, and what is the family's own of the text and of the tower.
KINDS = {
    "qwen3_vl": (
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        {"rope_parameters": ROPE},
        {"deepstack_visual_indexes": [0, 1]},
    ),
    "qwen3_5": (
        Qwen3_5Config,
        Qwen3_5ForConditionalGeneration,
        {
            "rope_parameters": ROPE | {"mrope_section": [2, 1, 1], "partial_rotary_factor": 0.5},
            "linear_key_head_dim": 16, "linear_value_head_dim": 16, "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
        },
        {},
    ),
}  # fmt: skip
# The hub's preprocessor_config.json of Qwen3-VL and Qwen3.5.
IMAGES = {
    "patch_size": 16, "temporal_patch_size": 2, "merge_size": 2,
    "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
    "size": {"shortest_edge": 65536, "longest_edge": 16777216},
}  # fmt: skip


def save_tiny(folder: Path, kind: str) -> Path:
    """Write a random model with the tokenizer and the chat template of the tiny base."""
    known = AutoProcessor.from_pretrained(TINY_BASE)
    tokenizer = known.tokenizer
    names = ("image_pad", "video_pad", "vision_start", "vision_end")
    image, video, start, end = (tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in names)
    config_class, model_class, text, vision = KINDS[kind]
    config = config_class(
        text_config={"vocab_size": -(-len(tokenizer) // 64) * 64, **TEXT, **text},
        vision_config=VISION | vision,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    torch.manual_seed(0)
    model = model_class(config)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(folder)
    Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(**IMAGES),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(),
        chat_template=known.chat_template,
    ).save_pretrained(folder)
    return folder
