"""TRL's ``SFTTrainer``, with nothing computed twice and nothing computed for no loss.

The stock trainer opens and cuts every image and tokenises every prompt whenever an example is
drawn, runs a frozen vision tower over the images again, and pads a batch to its longest example.
Here examples are made ready once (``examples``), images that a frozen tower has seen are not
encoded again, and a batch is one packed row whose last layer and language head see the scored
tokens alone (``packed_examples``). Loss and metrics are TRL's own, and so are the numbers, up to
rounding.
"""

from typing import Any

import torch
from peft import PeftModel
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling
from trl import SFTTrainer

from legor1.image_memory import ImageMemory
from legor1.training.examples import Examples, Picture, Pictures, collate
from legor1.training.fused_lora import fuse_lora
from legor1.training.packed_examples import PACKED, Packing, install
from legor1.training.packed_rows import rope_positions


class PackedSFTTrainer(SFTTrainer):
    """SFT on packed examples, each made ready once.

    For Qwen2.5-VL and prompt-completion data with images, with or without LoRA, alone or under DDP
    and DeepSpeed ZeRO-2. Dropout draws other numbers than in the stock trainer, equally likely.

    Args:
        remember: bytes of image features to keep in host memory, if the vision tower is frozen.
        ahead: bytes of patches to keep of images that wait for the tower.
        args, kwargs: those of ``SFTTrainer``.

    Raises:
        ValueError: what cannot be packed, as ``unpackable`` says.
    """

    def __init__(
        self, *args: Any, remember: int = 4 * 2**30, ahead: int = 256 * 2**20, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        reason = unpackable(self._base(self.model)) or self._unpackable_data()
        if reason:
            raise ValueError(f"{reason}; use trl.SFTTrainer")
        install(self._base(self.model).model.language_model)
        fuse_lora(self.model)
        self.data_collator = collate
        self.memory = ImageMemory(remember)
        self.pictures = Pictures(self.processing_class.image_processor, ahead)

    def _unpackable_data(self) -> str:
        if not {"prompt", "completion"} <= {*self.train_dataset.column_names}:
            return "examples are packed that have a prompt and a completion"
        if not self.completion_only_loss or self.args.max_length is not None:
            return "examples are packed whole (max_length=None), with loss on completions only"
        return ""

    def _base(self, model: Any) -> Any:
        """Return the model without DDP, DeepSpeed and PEFT around it."""
        model = self.accelerator.unwrap_model(model)
        return model.get_base_model() if isinstance(model, PeftModel) else model

    def _get_dataloader(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the loader of the dataset's examples, in the stock trainer's order."""
        examples = Examples(dataset, self.processing_class, self.pictures, self._positions)
        return super()._get_dataloader(examples, *args, **kwargs)

    def _positions(self, ids: torch.Tensor, grids: list[torch.Tensor]) -> torch.Tensor:
        """Return the rotary positions of an example, (3, tokens)."""
        images = [(grid, grid) for grid in grids]  # the grids alone are looked at
        return rope_positions(self._base(self.model).model, ids, images)[0][:, 0]

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the loss as the stock method computes it, from a packed row.

        Raises:
            ValueError: something asks for logits, of which there are none.
        """
        ids = inputs["input_ids"]
        packing = Packing(inputs["lengths"], inputs["scores"], ids.device)

        def packed(*, fused_lm_head: bool = False, **_: Any) -> Any:
            if not fused_lm_head:
                raise ValueError("packed examples give no logits; use trl.SFTTrainer")
            return model(
                input_ids=ids,
                attention_mask={"full_attention": packing},
                position_ids=inputs["position_ids"],
                shift_labels=inputs["shift_labels"],
                use_cache=False,
                fused_lm_head=True,
                **self._vision(inputs["pictures"]),
            )

        # The stock method wants of its inputs only how many tokens there are.
        counted = {"attention_mask": torch.ones(1, inputs["tokens"], device=ids.device)}
        return super().compute_loss(packed, counted, return_outputs, num_items_in_batch)

    def _vision(self, pictures: list[Picture]) -> dict[str, Any]:
        """Return the model's arguments for images: features if the tower is frozen, else pixels."""
        if not pictures:
            return {}
        backbone = self._base(self.model).model
        grids = [picture.grid for picture in pictures]
        if any(parameter.requires_grad for parameter in backbone.visual.parameters()):
            pixels = torch.cat(self.pictures.take(pictures)).to(self.accelerator.device)
            return {"pixel_values": pixels, "image_grid_thw": torch.stack(grids).to(pixels.device)}
        features = self.memory.recall(
            [picture.key for picture in pictures],
            lambda missing: self._encode([pictures[place] for place in missing]),
        )
        return {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=features)}}

    def _encode(self, pictures: list[Picture]) -> list[torch.Tensor]:
        """Return the features of each image, (tokens, hidden), in host memory."""
        pixels = torch.cat(self.pictures.take(pictures)).to(self.accelerator.device)
        grids = torch.stack([picture.grid for picture in pictures]).to(pixels.device)
        with torch.no_grad(), self.accelerator.autocast():
            encoded = self._base(self.model).model.get_image_features(pixels, grids)
        # Each a tensor of its own, or one that is kept would keep them all.
        return [features.clone().cpu() for features in encoded.pooler_output]


def unpackable(model: Any) -> str:
    """Return why examples of ``model`` cannot be packed; nothing if they can."""
    if not isinstance(model, Qwen2_5_VLForConditionalGeneration):
        return f"examples are packed for Qwen2.5-VL, not {type(model).__name__}"
    text = model.config.get_text_config()
    if text._attn_implementation not in PACKED or {*text.layer_types} != {"full_attention"}:
        return (
            f"examples are packed with the attention {' or '.join(PACKED)} in all layers, not "
            f"{text._attn_implementation} with {', '.join({*text.layer_types})}"
        )
    return ""
