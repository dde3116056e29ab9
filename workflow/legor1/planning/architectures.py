"""The sizes of the Qwen2.5-VL models and what follows from them: parameters, exactly, by formula.

``HUB`` has the facts of the models' ``config.json``; a test finds their published parameters.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from legor1.core.errors import UserError

_VISION = {
    "depth": 32, "hidden_size": 1280, "num_heads": 16, "intermediate_size": 3420, "patch_size": 14,
    "spatial_merge_size": 2, "temporal_patch_size": 2, "in_channels": 3, "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
}  # fmt: skip
_TEXT = {
    "max_position_embeddings": 128000, "rms_norm_eps": 1e-6, "use_sliding_window": False,
    "rope_parameters": {
        "rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [16, 24, 24],
    },
    "bos_token_id": 151643, "eos_token_id": 151645,
}  # fmt: skip
_SIZES = {
    "Qwen/Qwen2.5-VL-7B-Instruct": {
        "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "intermediate_size": 18944, "vocab_size": 152064,
        "tie_word_embeddings": False,
    },
    "Qwen/Qwen2.5-VL-3B-Instruct": {
        "hidden_size": 2048, "num_hidden_layers": 36, "num_attention_heads": 16,
        "num_key_value_heads": 2, "intermediate_size": 11008, "vocab_size": 151936,
        "tie_word_embeddings": True,
    },
}  # fmt: skip
# Repository on the hub → arguments of transformers' Qwen2_5_VLConfig.
HUB: dict[str, dict[str, Any]] = {
    repo: {
        "text_config": _TEXT | sizes,
        "vision_config": _VISION | {"out_hidden_size": sizes["hidden_size"]},
        "tie_word_embeddings": sizes["tie_word_embeddings"],
    }
    for repo, sizes in _SIZES.items()
}


@dataclass(frozen=True)
class Text:
    """The language model."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    intermediate_size: int
    vocab_size: int

    @property
    def key_value_size(self) -> int:
        """Width of the keys (and of the values) of one token in one layer."""
        return self.hidden_size // self.num_attention_heads * self.num_key_value_heads

    def linear_layers(self) -> dict[str, tuple[int, int]]:
        """Return a layer's linear maps by name: (width in, width out). LoRA goes onto each."""
        h, kv, f = self.hidden_size, self.key_value_size, self.intermediate_size
        attention = {"q_proj": (h, h), "k_proj": (h, kv), "v_proj": (h, kv), "o_proj": (h, h)}
        return attention | {"gate_proj": (h, f), "up_proj": (h, f), "down_proj": (f, h)}

    def layer_parameters(self) -> int:
        """Parameters of one layer: linear maps, biases of query, key and value, two norms."""
        weights = sum(inner * outer for inner, outer in self.linear_layers().values())
        return weights + 3 * self.hidden_size + 2 * self.key_value_size

    def matrix_parameters(self) -> int:
        """Weights that every token is multiplied with, the head left out."""
        return self.num_hidden_layers * self.layer_parameters()


@dataclass(frozen=True)
class Vision:
    """The vision tower: ``depth`` blocks over patches, then a merger of 2 × 2 patches a token."""

    depth: int
    hidden_size: int
    intermediate_size: int
    out_hidden_size: int
    patch_size: int = 14
    spatial_merge_size: int = 2
    temporal_patch_size: int = 2
    in_channels: int = 3

    @property
    def patch_values(self) -> int:
        """Numbers that the processor hands over for one patch."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2

    @property
    def merged(self) -> int:
        """Patches of one visual token."""
        return self.spatial_merge_size**2

    def block_parameters(self) -> int:
        """Parameters of one block: attention, gated network, two norms, biases everywhere."""
        d, f = self.hidden_size, self.intermediate_size
        return 4 * d * d + 4 * d + 3 * d * f + 2 * f + d + 2 * d

    def merger_parameters(self) -> int:
        """Parameters of the merger: a norm and two linear maps with biases."""
        wide = self.merged * self.hidden_size
        out = self.out_hidden_size
        return self.hidden_size + wide * wide + wide + wide * out + out

    def parameters(self) -> int:
        """Parameters of the tower."""
        patches = self.patch_values * self.hidden_size
        return patches + self.depth * self.block_parameters() + self.merger_parameters()


@dataclass(frozen=True)
class Architecture:
    """A Qwen2.5-VL model: what is needed to count its parameters, bytes and operations."""

    name: str
    text: Text
    vision: Vision
    tied: bool
    context: int

    @property
    def head_parameters(self) -> int:
        """Weights of the output head (the embedding's own where they are tied)."""
        return self.text.vocab_size * self.text.hidden_size

    def parameters(self) -> int:
        """Parameters of the whole model, tied ones counted once."""
        embeddings = self.head_parameters * (1 if self.tied else 2)
        norm = self.text.hidden_size
        return embeddings + self.text.matrix_parameters() + norm + self.vision.parameters()

    def lora_parameters(self, rank: int) -> int:
        """Parameters of a LoRA of ``rank`` on every linear map of the language model."""
        layer = sum(sum(widths) for widths in self.text.linear_layers().values())
        return self.text.num_hidden_layers * rank * layer


def from_config(name: str, config: Mapping[str, Any]) -> Architecture:
    """Return the architecture that a ``config.json`` describes, nested or as flat as the hub's.

    Raises:
        UserError: a size is missing.
    """
    text = config.get("text_config", config)
    vision = config.get("vision_config", {})
    try:
        return Architecture(
            name,
            _take(Text, text),
            _take(Vision, {"out_hidden_size": text["hidden_size"]} | vision),
            tied=bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
            context=text["max_position_embeddings"],
        )
    except (KeyError, TypeError) as error:
        raise UserError(
            f"the config.json of {name} describes no Qwen2.5-VL: {error}. "
            "Remedy: name a Qwen2.5-VL model as base."
        ) from error


def _take(kind: Any, sizes: Mapping[str, Any]) -> Any:
    return kind(**{one.name: sizes[one.name] for one in fields(kind) if one.name in sizes})


def of_base(base: Mapping[str, Any], folder: Path | None) -> Architecture:
    """Return the architecture of the config's ``base`` block.

    The ``config.json`` in the model's ``folder``, if it is here, goes before what is known.

    Raises:
        UserError: the model is neither here nor known.
    """
    repo = base["huggingface"]["repo"] if base["source"] == "huggingface" else base["source"]
    if folder is not None and (folder / "config.json").is_file():
        return from_config(repo, json.loads((folder / "config.json").read_text(encoding="utf-8")))
    if base["source"] == "rebuild":
        sizes = base["rebuild"]["training"]
        model = sizes["model"]
        text = {"vocab_size": sizes["vocabulary"], "max_position_embeddings": 4096} | model["text"]
        tied = {"tie_word_embeddings": True}
        return from_config(repo, {"text_config": text, "vision_config": model["vision"]} | tied)
    if repo in HUB:
        return from_config(repo, HUB[repo])
    raise UserError(
        f"the sizes of {repo} are not known before it is here. Remedy: run `snakemake fetch` "
        f"first, or choose a known base: {', '.join(HUB)}."
    )
