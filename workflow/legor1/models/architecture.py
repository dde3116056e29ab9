"""A model's sizes and what follows from them: parameters, exactly, by formula.

The layers are Qwen2.5-VL's; a family whose layers differ overrides the formulas in subclasses.
"""

from dataclasses import dataclass


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
