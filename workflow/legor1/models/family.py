"""What a model family must define: everything in which one family differs from another.

A family is one module beside this one (``qwen2_5_vl``), listed in ``registry``. Loading, chat
template and generation are transformers' own for every family: they follow from ``config.json``.
Planning and reports read families without torch, so a family imports it inside its methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from legor1.core.boxes import PixelBudget
from legor1.core.errors import UserError
from legor1.core.files import read_json

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

# Families have classes of their own. What these have in common, transformers declares nowhere, and
# torch declares every part of a model as "tensor or module".
Model: TypeAlias = Any
Processor: TypeAlias = Any
# Model type → repository on the hub → sizes, as arguments of transformers' config. A test compares
# the numbers of parameters with the published ones.
KNOWN: Mapping[str, Mapping[str, Mapping[str, Any]]] = read_json(
    Path(__file__).with_name("known.json")
)
Recipe: TypeAlias = Mapping[str, Any]  # an experiment's settings, resolved


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
    def query_size(self) -> int:
        """Width of the queries of one token in one layer."""
        return self.hidden_size

    @property
    def key_value_size(self) -> int:
        """Width of the keys (and of the values) of one token in one layer."""
        return self.hidden_size // self.num_attention_heads * self.num_key_value_heads

    def linear_layers(self) -> dict[str, tuple[int, int]]:
        """Return a layer's linear maps by name: (width in, width out). LoRA adapts each."""
        h, q, kv, f = self.hidden_size, self.query_size, self.key_value_size, self.intermediate_size
        attention = {"q_proj": (h, q), "k_proj": (h, kv), "v_proj": (h, kv), "o_proj": (q, h)}
        return attention | {"gate_proj": (h, f), "up_proj": (h, f), "down_proj": (f, h)}

    def matrix_parameters(self) -> int:
        """Weights that every token is multiplied with, the head left out."""
        maps = sum(inner * outer for inner, outer in self.linear_layers().values())
        return self.num_hidden_layers * (maps + self.biases_and_norms())

    def biases_and_norms(self) -> int:
        """Weights of a layer that are no matrix: two norms, and biases but in the last map."""
        return 2 * self.hidden_size + self.query_size + 2 * self.key_value_size


@dataclass(frozen=True)
class Vision:
    """The vision tower: ``depth`` blocks over patches, then a merger of patches to tokens."""

    depth: int
    hidden_size: int
    intermediate_size: int
    out_hidden_size: int
    patch_size: int
    spatial_merge_size: int
    temporal_patch_size: int
    in_channels: int

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
    """A model: what is needed to count its parameters, bytes and operations."""

    name: str
    text: Text
    vision: Vision
    tied: bool
    context: int

    def parameters(self) -> int:
        """Parameters of the whole model; an embedding tied to the output head counts once."""
        norm = self.text.hidden_size
        embeddings = self.text.vocab_size * norm * (1 if self.tied else 2)
        return embeddings + self.text.matrix_parameters() + norm + self.vision.parameters()

    def lora_parameters(self, rank: int) -> int:
        """Parameters of a LoRA of ``rank`` on every linear map of the language model."""
        layer = sum(sum(widths) for widths in self.text.linear_layers().values())
        return self.text.num_hidden_layers * rank * layer


class ModelFamily(ABC):
    """A family of vision-language models.

    ``backbone`` is a model without its language head. An image reaches it as patches (n, width) and
    a grid (3,): frames, rows and columns of patches.
    """

    model_type: ClassVar[str]  # as in the family's ``config.json``
    title: ClassVar[str]  # its name in messages
    factor: ClassVar[int]  # this and ``box_scale`` are those of ``PixelBudget``
    box_scale: ClassVar[int | None] = None
    lora_targets: ClassVar[str]  # a regular expression of the linear layers that LoRA adapts
    # Whether ``training.fast``'s packed trainer and group trainer are exact; else TRL's are used.
    packs_examples: ClassVar[bool] = False
    shares_prompts: ClassVar[bool] = False

    @property
    def known(self) -> Mapping[str, Mapping[str, Any]]:
        """The ``config.json`` of models on the hub, to plan with before they are downloaded."""
        return KNOWN.get(self.model_type, {})

    def budget(self, min_pixels: int, max_pixels: int) -> PixelBudget:
        """Return the family's pixel budget, which decides the grid of every image."""
        return PixelBudget(min_pixels, max_pixels, self.factor, self.box_scale)

    @abstractmethod
    def image_settings(self, budget: PixelBudget) -> dict[str, dict[str, int]]:
        """Return the image processor's settings that bind it to the budget, for vLLM's too."""

    @abstractmethod
    def tower(self, backbone: Model) -> PreTrainedModel:
        """Return the vision tower."""

    @abstractmethod
    def encode(self, backbone: Model, patches: Tensor, grid: Tensor) -> Tensor:
        """Return all that the decoder is given of an image, (tokens, …)."""

    @abstractmethod
    def feature_inputs(self, features: Sequence[Tensor]) -> dict[str, object]:
        """Return the model's arguments that give it ``encode``'s results in place of pixels."""

    @abstractmethod
    def positions(
        self, backbone: Model, ids: Tensor, grids: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Return rotary positions (3, rows, tokens); ids and mask are (rows, tokens)."""

    def prompt_positions(
        self, backbone: Model, ids: Tensor, grids: Sequence[Tensor]
    ) -> tuple[Tensor, int]:
        """Return the positions (3, 1, tokens) of ids (tokens,), and that of the next token.

        Always computed and passed on: ``backbone`` would otherwise use those of its last call.
        """
        import torch

        if not grids:
            return torch.arange(len(ids), device=ids.device).expand(3, 1, -1), len(ids)
        positions = self.positions(backbone, ids[None], torch.stack([*grids]))
        return positions, int(positions.max()) + 1

    def rotate(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Return queries or keys rotated by their angles, as halves of each head.

        All are (1, heads, tokens, width); the angles are the same for all heads.
        """
        import torch

        first, second = x.chunk(2, dim=-1)
        return x * cos + torch.cat((-second, first), dim=-1) * sin

    def architecture(self, name: str, config: Mapping[str, Any]) -> Architecture:
        """Return the sizes that the ``config.json`` of ``name`` describes, for the planner.

        Raises:
            UserError: a size is missing, or the family does not define its sizes.
        """
        raise UserError(
            f"what {name} needs cannot be planned: the sizes of {self.title} are not defined. "
            "Remedy: run without `plan`, or write `architecture` in the family's module."
        )
