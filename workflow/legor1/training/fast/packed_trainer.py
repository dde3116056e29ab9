"""TRL's ``SFTTrainer``, with nothing computed twice and nothing computed for no loss.

The stock trainer opens and cuts every image and tokenises every prompt whenever an example is
drawn, runs a frozen vision tower over the images again, and pads a batch to its longest example.
Here examples are prepared once, an image is opened only when it is needed and cached by content,
images are encoded once if the tower is frozen, and a batch is one packed row:

    [ prompt 1 | answer 1 | prompt 2 | answer 2 | … ]

An example sees itself, never its neighbours. Only an answer's tokens carry loss, and behind the
last layer's keys and values nothing reads a prompt's any more: there the queries, the feed-forward
part, the norm and the language head are computed only for the tokens that predict an answer's. Loss
and metrics are TRL's own, and so are the numbers, up to rounding.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial, wraps
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from datasets import Dataset, Image, List
from torch import Tensor, nn
from torch.utils.data import DataLoader
from trl import SFTTrainer
from trl.data_utils import apply_chat_template, prepare_multimodal_messages

from legor1.core.images import decode, open_image
from legor1.models.family import Model, ModelFamily, Processor
from legor1.models.feature_cache import FeatureCache, Images, vision_inputs
from legor1.models.loading import with_visual_tokens, without_adapter
from legor1.models.registry import FAMILIES, family_of_model
from legor1.training.fast import attention
from legor1.training.fast.attention import Layout, attend, register_by_mask

# An example's ids and its images' grids → rotary positions, (3, tokens).
Positions = Callable[[Tensor, list[Tensor]], Tensor]
UNOPENED = Image(decode=False)
Source = dict  # an image as datasets stores it: ``path`` and ``bytes``, one of which may be None


class Upright(Image):
    """A column of images for TRL's stock trainers, decoded as everywhere else."""

    def decode_example(
        self, value: Source | PIL.Image.Image, token_per_repo_id: object = None
    ) -> PIL.Image.Image:
        """Return the image that datasets stores as ``value``."""
        return opened(value) if isinstance(value, dict) else value


def opened(source: Source) -> PIL.Image.Image:
    """Return the image that datasets stores as ``source``, upright and in RGB."""
    if source["bytes"] is not None:
        return decode(io.BytesIO(source["bytes"]))[0]
    return open_image(Path(source["path"]))


@dataclass(frozen=True)
class Picture:
    """An image of a dataset; equal if the files are."""

    digest: bytes  # of the file's content
    source: Source = field(compare=False)


@dataclass(frozen=True)
class Example:
    """A prompt and its answer."""

    ids: Tensor  # of both, (tokens,)
    answer: int  # tokens of the answer, at the end
    positions: Tensor  # rotary, (3, tokens)
    pictures: list[Picture]  # in the prompt's order


class Pictures:
    """Opens images and cuts them into patches, which are kept until they are taken.

    At most ``limit`` bytes are kept; what does not fit is cut again when it is taken.
    """

    def __init__(self, image_processor: Processor, limit: int) -> None:
        self.image_processor = image_processor
        self.cache = FeatureCache(limit)
        self.grids: dict[Picture, Tensor] = {}

    def find(self, source: Source) -> Picture:
        """Return the image that datasets stores as ``source``; its grid is then known."""
        content = source["bytes"] or Path(source["path"]).read_bytes()
        picture = Picture(hashlib.blake2b(content, digest_size=16).digest(), source)
        if picture not in self.grids:
            self.cache.get([picture], self._cut)
        return picture

    def take(self, pictures: Sequence[Picture]) -> list[Tensor]:
        """Return the patches of each image, (n, width), and drop them from the cache."""
        patches = self.cache.get(pictures, self._cut)
        for picture in pictures:
            self.cache.drop(picture)
        return patches

    def _cut(self, pictures: Sequence[Picture]) -> list[Tensor]:
        patches = []
        for picture in pictures:
            made = self.image_processor(images=[opened(picture.source)], return_tensors="pt")
            self.grids[picture] = made["image_grid_thw"][0]
            patches.append(made["pixel_values"])
        return patches


class Examples(torch.utils.data.Dataset[Example]):
    """A dataset in TRL's prompt-completion form, with ``images``, prepared once."""

    def __init__(
        self, rows: Dataset, processor: Processor, pictures: Pictures, positions: Positions
    ) -> None:
        self.rows = rows.cast_column("images", List(UNOPENED))
        self.processor, self.pictures, self.positions = processor, pictures, positions
        self.made: dict[int, Example] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> Example:
        """Return the example of a row."""
        if row not in self.made:
            self.made[row] = self._make(self.rows[row])
        return self.made[row]

    def _make(self, row: dict) -> Example:
        sources = row["images"] or []
        pictures = [self.pictures.find(source) for source in sources]
        grids = [self.pictures.grids[picture] for picture in pictures]
        # The template marks the places of images, whatever they are.
        row["prompt"] = prepare_multimodal_messages(row["prompt"], images=sources)
        row["completion"] = prepare_multimodal_messages(row["completion"])
        row = apply_chat_template(row, self.processor)
        tokenize = partial(self.processor.tokenizer, add_special_tokens=False)
        prompt, completion = (tokenize(row[p])["input_ids"] for p in ("prompt", "completion"))
        merged = self.processor.image_processor.merge_size**2
        visual = [int(grid.prod()) // merged for grid in grids]
        prompt = with_visual_tokens(prompt, self.processor.image_token_id, visual)
        ids = torch.tensor([*prompt, *completion])
        return Example(ids, len(completion), self.positions(ids, grids), pictures)


def collate(examples: Sequence[Example]) -> dict:
    """Return examples as one row, each without its last token, which predicts nothing.

    Returns:
        ``input_ids`` (1, length) and ``position_ids`` (3, 1, length); ``shift_labels`` (1, scores),
        the tokens of the answers, and the same as ``labels``, which the trainer counts; the
        ``groups`` of the row's ``Layout``, whose completions are the tokens that predict an answer;
        ``pictures``; and ``tokens``, those of whole examples.
    """
    answers = torch.cat([example.ids[-example.answer :] for example in examples])[None]
    return {
        "input_ids": torch.cat([example.ids[:-1] for example in examples])[None],
        "position_ids": torch.cat([example.positions[:, :-1] for example in examples], 1)[:, None],
        "labels": answers,
        "shift_labels": answers,
        "groups": [(len(one.ids) - 1 - one.answer, [one.answer]) for one in examples],
        "pictures": [picture for example in examples for picture in example.pictures],
        "tokens": sum(len(example.ids) for example in examples),
    }


def scoring_alone(layer: Model, forward: Callable, family: ModelFamily) -> Callable[..., Tensor]:
    """Return a last layer's forward pass that computes only the scored tokens of a packed row.

    Where the mask is not a ``Layout``, it calls ``forward``, the layer's own.
    """

    @wraps(forward)
    def score(hidden_states: Tensor, *args: object, **kwargs: Any) -> Tensor:
        layout = kwargs.get("attention_mask")
        if not isinstance(layout, Layout):
            return forward(hidden_states, *args, **kwargs)
        normed = layer.input_layernorm(hidden_states)
        cos, sin = kwargs["position_embeddings"]
        attended = attend_scored(layer.self_attn, normed, layout, cos, sin, family)
        scored = hidden_states[:, layout.completed] + attended
        return scored + layer.mlp(layer.post_attention_layernorm(scored))

    return score


def attend_scored(
    layer: Model, hidden: Tensor, layout: Layout, cos: Tensor, sin: Tensor, family: ModelFamily
) -> Tensor:
    """Return an attention layer's output at the scored tokens, (1, scored tokens, width).

    ``hidden`` is (1, length, width); ``cos`` and ``sin`` are (1, length, width of a head).
    """

    def heads(name: str, hidden: Tensor) -> Tensor:
        split = getattr(layer, f"{name}_proj")(hidden).unflatten(-1, (-1, layer.head_dim))
        norm = getattr(layer, f"{name}_norm", nn.Identity())  # Qwen3 has some
        return norm(split).transpose(1, 2)

    at, cos, sin = layout.completed, cos[:, None], sin[:, None]
    query = family.rotate(heads("q", hidden[:, at]), cos[:, :, at], sin[:, :, at])
    key = family.rotate(heads("k", hidden), cos, sin)
    value = heads("v", hidden)
    dropout = layer.attention_dropout if layer.training else 0.0
    output, _ = attend(layer, query, key, value, layout, dropout=dropout, scaling=layer.scaling)
    return layer.o_proj(output.flatten(2))


class PackedSFTTrainer(SFTTrainer):
    """SFT on packed examples, each prepared once.

    For models without an ``obstacle`` and prompt-completion data with images, with or without LoRA,
    alone or under DDP and DeepSpeed ZeRO-2; loss on completions alone, and ``max_length=None``.
    Dropout draws other numbers than in the stock trainer, equally likely. ``feature_bytes`` and
    ``patch_bytes`` are the sizes of the caches of image features and of patches that wait.
    """

    def __init__(
        self,
        *args: Any,
        feature_bytes: int = 4 * 2**30,
        patch_bytes: int = 2**30 // 4,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        base = self._base(self.model)
        self.family = family_of_model(base)
        register_by_mask(Layout, attend)
        layer = base.model.language_model.layers[-1]
        layer.forward = scoring_alone(layer, layer.forward, self.family)
        self.data_collator: Any = collate
        self.cache = FeatureCache(feature_bytes, "cpu")
        processor: Processor = self.processing_class
        self.pictures = Pictures(processor.image_processor, patch_bytes)

    def _base(self, model: Model) -> Model:
        return without_adapter(self.accelerator.unwrap_model(model))

    def _get_dataloader(self, dataset: Dataset, *args: Any, **kwargs: Any) -> DataLoader:
        """Return the loader of the dataset's examples, in the stock trainer's order."""
        examples = Examples(dataset, self.processing_class, self.pictures, self._positions)
        return super()._get_dataloader(examples, *args, **kwargs)

    def _positions(self, ids: Tensor, grids: list[Tensor]) -> Tensor:
        backbone = self._base(self.model).model
        return self.family.prompt_positions(backbone, ids, grids)[0][:, 0]

    def compute_loss(
        self,
        model: Model,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple:
        """Return the loss as the stock method computes it, from a packed row; it has no logits."""
        ids = inputs["input_ids"]
        layout = Layout(inputs["groups"], ids.device)
        backbone, precision = self._base(self.model).model, self.accelerator.autocast()
        images = vision_inputs(backbone, inputs["pictures"], self._pixels, self.cache, precision)

        def packed(**_: object) -> object:
            return model(
                input_ids=ids,
                attention_mask=layout,
                position_ids=inputs["position_ids"],
                shift_labels=inputs["shift_labels"],
                use_cache=False,
                fused_lm_head=True,
                **images,
            )

        # All that the stock method reads of its inputs is the number of tokens.
        counted = {"attention_mask": torch.ones(1, inputs["tokens"], device=ids.device)}
        return super().compute_loss(packed, counted, return_outputs, num_items_in_batch)

    def _pixels(self, pictures: Sequence[Picture]) -> Images:
        pixels = torch.cat(self.pictures.take(pictures))
        grids = torch.stack([self.pictures.grids[picture] for picture in pictures])
        return pixels.to(self.accelerator.device), grids.to(self.accelerator.device)


def obstacle(model: Model) -> str | None:
    """Return why examples of ``model`` cannot be packed, or None if they can."""
    packing = {name: family for name, family in FAMILIES.items() if family.packs_examples}
    if model.config.model_type not in packing:
        titles = " and ".join(family.title for family in packing.values())
        return f"examples are packed for {titles}, not {type(without_adapter(model)).__name__}"
    return attention.obstacle(model)
