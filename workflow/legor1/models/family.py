"""What a model family must say of itself: all that differs between one family and another.

A family is one module beside this one (``qwen2_5_vl``), listed in ``registry``. Loading, chat
template and generation are transformers' own for every family: they follow from ``config.json``.
Planning and reports read families without torch, so a family imports it inside its methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from legor1.core.boxes import PixelBudget, Size
from legor1.core.errors import UserError
from legor1.models.architecture import Architecture

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from transformers import PreTrainedModel


class ModelFamily(ABC):
    """A family of vision-language models.

    ``backbone`` is a model without its language head. An image reaches it as patches (n, width) and
    a grid (3,): frames, rows and columns of patches.

    Attributes:
        model_type: as the family's ``config.json`` has it.
        title: its name in messages.
        factor, box_scale: see ``PixelBudget``.
        lora_targets: a regular expression of the linear layers that LoRA goes onto.
        packs_examples: ``training.fast.packed_trainer`` is exact for it; else TRL's is taken.
        shares_prompts: ``training.fast.group_trainer`` is exact for it; else TRL's is taken.
        known: the ``config.json`` of models on the hub, to plan with before they are downloaded.
    """

    model_type: ClassVar[str]
    title: ClassVar[str]
    factor: ClassVar[int]
    box_scale: ClassVar[int | None] = None
    lora_targets: ClassVar[str]
    packs_examples: ClassVar[bool] = False
    shares_prompts: ClassVar[bool] = False
    known: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def budget(self, min_pixels: int, max_pixels: int) -> PixelBudget:
        """Return the family's pixel budget, which decides the grid of every image."""
        return PixelBudget(min_pixels, max_pixels, self.factor, self.box_scale)

    @abstractmethod
    def image_settings(self, budget: PixelBudget) -> dict[str, dict[str, int]]:
        """Return the image processor's settings that bind it to the budget, for vLLM's too."""

    def realised_sizes(self, processor: Any, image: Image, **edges: int) -> dict[str, Size]:
        """Return the (width, height) that each resizer in use really gives ``image``.

        ``processor`` is the model's image processor, ``edges`` the budget's two limits.
        """
        return {"the model's image processor": processed_size(processor, image)}

    @abstractmethod
    def tower(self, backbone: Any) -> PreTrainedModel:
        """Return the vision tower."""

    @abstractmethod
    def encode(self, backbone: Any, patches: Tensor, grid: Tensor) -> Tensor:
        """Return all that the decoder is given of one image, (tokens, width)."""

    @abstractmethod
    def feature_inputs(self, features: Sequence[Tensor]) -> dict[str, Any]:
        """Return the model's arguments that give it ``encode``'s results in place of pixels."""

    @abstractmethod
    def positions(
        self, backbone: Any, ids: Tensor, grids: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Return rotary positions (3, rows, tokens); ids and mask are (rows, tokens)."""

    def prompt_positions(
        self, backbone: Any, ids: Tensor, grids: Sequence[Tensor]
    ) -> tuple[Tensor, int]:
        """Return the positions (3, 1, tokens) of ids (tokens,), and that of the token behind them.

        Always computed and passed on: ``backbone`` would else use those of its last call.
        """
        import torch

        if not grids:
            return torch.arange(len(ids), device=ids.device).expand(3, 1, -1), len(ids)
        positions = self.positions(backbone, ids[None], torch.stack([*grids]))
        return positions, int(positions.max()) + 1

    def rotate(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Return queries or keys turned by their angles, for families that pack examples.

        All are (1, heads, tokens, width); the angles are the same for all heads.
        """
        raise NotImplementedError(f"{self.title} packs no examples")

    def architecture(self, name: str, config: Mapping[str, Any]) -> Architecture:
        """Return the sizes that a ``config.json`` describes, for the planner.

        Raises:
            UserError: a size is missing, or the family says nothing of sizes.
        """
        raise UserError(
            f"what {name} needs cannot be planned: nothing is known of the sizes of {self.title}. "
            "Remedy: run without `plan`, or write `architecture` in the family's module."
        )


def processed_size(image_processor: Any, image: Image) -> Size:
    """Return the (width, height) that an image processor really gives ``image``."""
    inputs = image_processor(images=[image], return_tensors="pt")
    _, rows, columns = inputs["image_grid_thw"][0].tolist()
    return columns * image_processor.patch_size, rows * image_processor.patch_size
