"""Qwen3-VL as a second family: what its module would say, and a tiny model with random weights."""

from pathlib import Path

import torch
from transformers import (
    AutoProcessor,
    GenerationConfig,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)
from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

from legor1.models.family import ModelFamily
from legor1.models.registry import DEFAULT
from legor1.planning.preflight import TINY_BASE

HIDDEN, LEVELS = 64, [0, 1]  # layers of the tower whose features the decoder is given besides


class Qwen3VL(ModelFamily):
    """Boxes in [0, 1000]; features of several layers of the tower, side by side."""

    model_type = "qwen3_vl"
    title = "Qwen3-VL"
    factor = 32
    box_scale = 1000
    lora_targets = DEFAULT.lora_targets

    def image_settings(self, budget):
        return DEFAULT.image_settings(budget)

    def tower(self, backbone):
        return backbone.visual

    def encode(self, backbone, patches, grid):
        made = backbone.get_image_features(patches, grid[None])
        return torch.cat(
            [made.pooler_output[0], *(level[0] for level in made.deepstack_features)], 1
        )

    def feature_inputs(self, features):
        levels = [image.chunk(1 + len(LEVELS), dim=1) for image in features]
        merged, *deeper = zip(*levels, strict=True)
        made = BaseModelOutputWithDeepstackFeatures(
            pooler_output=merged, deepstack_features=[*deeper]
        )
        return {"mm_encoder_outputs": {"image": made}}

    def positions(self, backbone, ids, grids, mask=None):
        return DEFAULT.positions(backbone, ids, grids, mask)


def save_tiny(folder: Path) -> None:
    """Write a random Qwen3-VL with the tokenizer and the chat template of the tiny base."""
    known = AutoProcessor.from_pretrained(TINY_BASE)
    tokenizer = known.tokenizer
    names = ("image_pad", "video_pad", "vision_start", "vision_end")
    image, video, start, end = (tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in names)
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": -(-len(tokenizer) // 64) * 64,
            "hidden_size": HIDDEN,
            "intermediate_size": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 2, 2],
            },
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": HIDDEN,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": LEVELS,
        },
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Qwen3VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(folder)
    Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=16),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(),
        chat_template=known.chat_template,
    ).save_pretrained(folder)
