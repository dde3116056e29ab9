"""Examples as the model reads them: tokenised once, and each image opened only when it is needed.

TRL's collator does all its work whenever an example is drawn: it decodes, resizes and cuts images,
renders messages, tokenises and pads. Here that is done once, and images are cached by content.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import PIL.Image
import torch
from datasets import Dataset, Image, List
from torch import Tensor
from trl.data_utils import apply_chat_template, prepare_multimodal_messages

from legor1.core.images import decode, open_image
from legor1.models.family import Processor
from legor1.models.feature_cache import FeatureCache
from legor1.models.loading import with_visual_tokens

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
