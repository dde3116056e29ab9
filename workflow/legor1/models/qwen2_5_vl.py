"""Qwen2.5-VL: boxes in pixels of the processed image, one visual token for 28 × 28 of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from legor1.core.boxes import PixelBudget
from legor1.core.errors import UserError
from legor1.models.family import Architecture, ModelFamily, Text, Vision

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from legor1.models.family import Model

Sizes = TypeVar("Sizes", bound=Text | Vision)
_PATCH = {"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "in_channels": 3}


class Qwen25VL(ModelFamily):
    """The family of the study."""

    model_type = "qwen2_5_vl"
    title = "Qwen2.5-VL"
    factor = 28  # patches of 14 × 14, merged 2 × 2
    # Every linear layer of the language model, and none of the vision tower.
    lora_targets = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
    packs_examples = True
    shares_prompts = True
    # What the planner reads of a config, and what a flat one leaves out.
    text: ClassVar[type[Text]] = Text
    vision: ClassVar[type[Vision]] = Vision
    patch: ClassVar[Mapping[str, int]] = _PATCH

    def image_settings(self, budget: PixelBudget) -> dict[str, dict[str, int]]:
        """Bind the sizes of the image processor, in pixels."""
        return {"size": {"shortest_edge": budget.min_pixels, "longest_edge": budget.max_pixels}}

    def tower(self, backbone: Model) -> PreTrainedModel:
        """Return the vision tower."""
        return backbone.visual

    def encode(self, backbone: Model, patches: Tensor, grid: Tensor) -> Tensor:
        """Return the merged patches, (tokens, hidden)."""
        return backbone.get_image_features(patches, grid[None]).pooler_output[0]

    def feature_inputs(self, features: Any) -> dict[str, object]:
        """Return the features as the vision tower's output."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        return {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=features)}}

    def positions(
        self, backbone: Model, ids: Tensor, grids: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Return multimodal rotary positions."""
        types = ids.eq(backbone.config.image_token_id).int()
        return backbone.get_rope_index(ids, types, image_grid_thw=grids, attention_mask=mask)[0]

    def architecture(self, name: str, config: Mapping[str, Any]) -> Architecture:
        """Return the architecture, of a config nested or as flat as the hub's."""
        text = config.get("text_config", config)
        vision = {**self.patch, "out_hidden_size": text.get("hidden_size")}
        try:
            return Architecture(
                name,
                _take(self.text, text),
                _take(self.vision, vision | config.get("vision_config", {})),
                tied=bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings"))),
                context=text["max_position_embeddings"],
            )
        except (KeyError, TypeError) as error:
            raise UserError(
                f"the config.json of {name} describes no {self.title}: {error}. "
                f"Remedy: name a {self.title} model as base."
            ) from error


def _take(kind: type[Sizes], sizes: Mapping[str, Any]) -> Sizes:
    return kind(**{field.name: sizes[field.name] for field in fields(kind)})
