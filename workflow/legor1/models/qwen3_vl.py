"""Qwen3-VL: boxes in [0, 1000], one visual token for 32 × 32 pixels, features of several layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from legor1.models.family import Text, Vision
from legor1.models.qwen2_5_vl import Qwen25VL

if TYPE_CHECKING:
    from torch import Tensor

    from legor1.models.family import Model

_PATCH = {"patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "in_channels": 3}


@dataclass(frozen=True)
class Qwen3Text(Text):
    """Maps without biases, and a norm for the queries and one for the keys of a head."""

    head_dim: int

    @property
    def query_size(self) -> int:
        """Width of the queries of one token in one layer."""
        return self.head_dim * self.num_attention_heads

    @property
    def key_value_size(self) -> int:
        """Width of the keys (and of the values) of one token in one layer."""
        return self.head_dim * self.num_key_value_heads

    def biases_and_norms(self) -> int:
        """Parameters of a layer that are no matrix."""
        return 2 * self.hidden_size + 2 * self.head_dim


@dataclass(frozen=True)
class Qwen3Vision(Vision):
    """Plain networks, layer norms, learnt positions, and a merger more for each level."""

    num_position_embeddings: int
    deepstack_visual_indexes: tuple[int, ...] = ()

    def block_parameters(self) -> int:
        """Parameters of one block: attention, network, two norms, biases everywhere."""
        d, f = self.hidden_size, self.intermediate_size
        return 4 * d * d + 4 * d + 2 * d * f + f + d + 4 * d

    def merger_parameters(self) -> int:
        """Parameters of all mergers: the deeper ones norm patches that are merged already."""
        wide, out = self.merged * self.hidden_size, self.out_hidden_size
        maps = wide * wide + wide + wide * out + out
        levels = len(self.deepstack_visual_indexes)
        return 2 * self.hidden_size + maps + levels * (2 * wide + maps)

    def parameters(self) -> int:
        """Parameters of the tower."""
        return super().parameters() + (1 + self.num_position_embeddings) * self.hidden_size


class Qwen3VL(Qwen25VL):
    """Qwen2.5-VL's successor, whose decoder is given features of several layers of the tower."""

    model_type = "qwen3_vl"
    title = "Qwen3-VL"
    factor = 32  # patches of 16 × 16, merged 2 × 2
    box_scale = 1000
    text, vision, patch = Qwen3Text, Qwen3Vision, _PATCH

    def encode(self, backbone: Model, patches: Tensor, grid: Tensor) -> Tensor:
        """Return the merged patches and then those of each level, (tokens, 1 + levels, width)."""
        import torch

        made = backbone.get_image_features(patches, grid[None])
        levels = [made.pooler_output, *made.deepstack_features]
        return torch.stack([level[0] for level in levels], dim=1)

    def feature_inputs(self, features: Any) -> dict[str, object]:
        """Return the features as the vision tower's output."""
        from transformers.models.qwen3_vl.modeling_qwen3_vl import (
            BaseModelOutputWithDeepstackFeatures,
        )

        parts: Any = zip(*(image.unbind(1) for image in features), strict=True)
        merged, *levels = parts
        made = BaseModelOutputWithDeepstackFeatures(
            pooler_output=merged, deepstack_features=[*levels]
        )
        return {"mm_encoder_outputs": {"image": made}}
