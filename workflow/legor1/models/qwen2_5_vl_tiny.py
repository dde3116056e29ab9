"""An untrained Qwen2.5-VL of any size, with a tokenizer and an image processor of its own."""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

SPECIAL_TOKENS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def make_tokenizer(texts: list[str], vocabulary: int, single: list[str]) -> Qwen2Tokenizer:
    """Train a byte-level BPE as Qwen2's on ``texts``; each text of ``single`` is one token."""
    bpe = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe.train_from_iterator(
        sorted(set(texts)),
        trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False),
    )
    state = json.loads(bpe.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=state["vocab"],
        merges=[tuple(merge) for merge in state["merges"]],  # type: ignore[misc]
        unk_token="<|endoftext|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=32768,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL_TOKENS})
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in single])
    return tokenizer


def make_processor(
    tokenizer: Qwen2Tokenizer, image_settings: Mapping[str, Any], mean: float, std: float
) -> Qwen2_5_VLProcessor:
    """Return the processor, which normalises every colour channel by ``mean`` and ``std``."""
    template = files("trl").joinpath("chat_templates/qwen2_5_vl.jinja").read_text()
    images = Qwen2VLImageProcessor(**image_settings, image_mean=[mean] * 3, image_std=[std] * 3)
    return Qwen2_5_VLProcessor(images, tokenizer, Qwen2VLVideoProcessor(), chat_template=template)


def make_model(
    tokenizer: Qwen2Tokenizer, sizes: Mapping[str, Mapping]
) -> Qwen2_5_VLForConditionalGeneration:
    """Return an untrained model with the given ``text`` and ``vision`` sizes."""
    token: dict[str, Any] = {name: tokenizer.convert_tokens_to_ids(name) for name in SPECIAL_TOKENS}
    ends = {"eos_token_id": token["<|im_end|>"], "pad_token_id": token["<|endoftext|>"]}
    vocabulary = -(-len(tokenizer) // 64) * 64
    text = {"vocab_size": vocabulary, "max_position_embeddings": 4096, "tie_word_embeddings": True}
    config = Qwen2_5_VLConfig(
        text_config={**text, "bos_token_id": None, **ends, **sizes["text"]},
        vision_config={"out_hidden_size": sizes["text"]["hidden_size"], **sizes["vision"]},
        image_token_id=token["<|image_pad|>"],
        video_token_id=token["<|video_pad|>"],
        vision_start_token_id=token["<|vision_start|>"],
        vision_end_token_id=token["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig(**ends)
    return model
