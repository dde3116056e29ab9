"""TRL's ``SFTTrainer``, with nothing computed twice and nothing computed for no loss.

The stock trainer opens and cuts every image and tokenises every prompt whenever an example is
drawn, runs a frozen vision tower over the images again, and pads a batch to its longest example.
Here examples are made ready once (``examples``), images that a frozen tower has seen are not
encoded again, and a batch is one packed row whose last layer and language head see the scored
tokens alone (``packed_examples``). Loss and metrics are TRL's own, and so are the numbers, up to
rounding.
"""

from collections.abc import Sequence
from typing import Any

import torch
from trl import SFTTrainer

from legor1.models.feature_cache import FeatureCache, Images, vision_inputs
from legor1.models.loading import without_adapter
from legor1.models.registry import FAMILIES, family_of_model
from legor1.training.fast.fused_lora import fuse_lora
from legor1.training.fast.packed_examples import PACKED, Packing, install
from legor1.training.sft_examples import Examples, Picture, Pictures, collate


class PackedSFTTrainer(SFTTrainer):
    """SFT on packed examples, each made ready once.

    For families that pack examples and prompt-completion data with images, with or without LoRA,
    alone or under DDP and DeepSpeed ZeRO-2. Dropout draws other numbers than in the stock trainer,
    equally likely.

    Args:
        feature_bytes: of image features to cache in host memory, if the vision tower is frozen.
        patch_bytes: of patches to cache of images that wait for the tower.
        args, kwargs: those of ``SFTTrainer``.

    Raises:
        ValueError: this model or data cannot be packed.
    """

    def __init__(
        self,
        *args: Any,
        feature_bytes: int = 4 * 2**30,
        patch_bytes: int = 256 * 2**20,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        reason = obstacle(self._base(self.model)) or unfit(self)
        if reason:
            raise ValueError(f"{reason}; use trl.SFTTrainer")
        self.family = family_of_model(self._base(self.model))
        install(self._base(self.model).model.language_model, self.family)
        fuse_lora(self.model)
        self.data_collator = collate
        self.cache = FeatureCache(feature_bytes, "cpu")
        processor: Any = self.processing_class
        self.pictures = Pictures(processor.image_processor, patch_bytes)

    def _base(self, model: Any) -> Any:
        """Return the model without DDP, DeepSpeed and PEFT around it."""
        return without_adapter(self.accelerator.unwrap_model(model))

    def _get_dataloader(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the loader of the dataset's examples, in the stock trainer's order."""
        examples = Examples(dataset, self.processing_class, self.pictures, self._positions)
        return super()._get_dataloader(examples, *args, **kwargs)

    def _positions(self, ids: torch.Tensor, grids: list[torch.Tensor]) -> torch.Tensor:
        """Return the rotary positions of an example, (3, tokens)."""
        backbone = self._base(self.model).model
        return self.family.prompt_positions(backbone, ids, grids)[0][:, 0]

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
        """Return the model's arguments for images."""
        backbone, precision = self._base(self.model).model, self.accelerator.autocast()
        return vision_inputs(backbone, pictures, self._pixels, self.cache, precision)

    def _pixels(self, pictures: Sequence[Picture]) -> Images:
        pixels = torch.cat(self.pictures.take(pictures))
        grids = torch.stack([self.pictures.grids[picture] for picture in pictures])
        return pixels.to(self.accelerator.device), grids.to(self.accelerator.device)


def obstacle(model: Any) -> str | None:
    """Return why examples of ``model`` cannot be packed, or None if they can."""
    packing = {name: family for name, family in FAMILIES.items() if family.packs_examples}
    if model.config.model_type not in packing:
        titles = " and ".join(family.title for family in packing.values())
        return f"examples are packed for {titles}, not {type(model).__name__}"
    text = model.config.get_text_config()
    if text._attn_implementation not in PACKED or {*text.layer_types} != {"full_attention"}:
        return (
            f"examples are packed with the attention {' or '.join(PACKED)} in all layers, not "
            f"{text._attn_implementation} with {', '.join({*text.layer_types})}"
        )
    return None


def unfit(trainer: Any) -> str | None:
    """Return why a trainer's data cannot be packed, or None if it can."""
    if not {"prompt", "completion"} <= {*trainer.train_dataset.column_names}:
        return "examples are packed that have a prompt and a completion"
    if not trainer.completion_only_loss or trainer.args.max_length is not None:
        return "examples are packed whole (max_length=None), with loss on completions alone"
    return None
