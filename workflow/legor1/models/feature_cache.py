"""A cache of image features, so that a frozen vision tower sees each image once."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

import torch
from torch import Tensor

from legor1.models.family import Model
from legor1.models.loading import is_frozen
from legor1.models.registry import family_of_model

Key = TypeVar("Key", bound=Hashable)
Images = tuple[Tensor, Tensor]  # patches of all (n, width), grids (images, 3)


class FeatureCache:
    """The images' tensors used last, ``limit`` bytes, on ``device`` (None: where each was made)."""

    def __init__(self, limit: int, device: str | None = None) -> None:
        self.limit, self.device = limit, device
        self.size = 0
        self.entries: OrderedDict[Hashable, Tensor] = OrderedDict()

    def get(self, keys: Sequence[Key], make: Callable[[list[Key]], list[Tensor]]) -> list[Tensor]:
        """Return the tensor of each key's image; those not in the cache are made in one call."""
        known = {key: self.entries[key] for key in keys if key in self.entries}
        missing = [key for key in dict.fromkeys(keys) if key not in known]
        if missing:
            made = make(missing)
            made = [tensor.to(self.device) for tensor in made] if self.device else made
            known |= zip(missing, made, strict=True)
        for key in keys:
            if key not in self.entries:
                self.size += known[key].nbytes
            self.entries[key] = known[key]
            self.entries.move_to_end(key)
            while self.size > self.limit:
                self.size -= self.entries.popitem(last=False)[1].nbytes
        return [known[key] for key in keys]

    def drop(self, key: Hashable) -> None:
        """Drop the tensor of an image that will not be requested again."""
        if key in self.entries:
            self.size -= self.entries.pop(key).nbytes


def vision_inputs(
    backbone: Model,
    keys: Sequence[Key],
    load: Callable[[Sequence[Key]], Images],
    cache: FeatureCache,
    precision: AbstractContextManager,
) -> dict[str, object]:
    """Return the model's arguments for images: features if its tower is frozen, else pixels.

    Equal images have equal ``keys``; ``load`` returns the images of some keys, on the device of the
    ``backbone``, whose tower runs in the context ``precision``, such as autocast.
    """
    if not keys:
        return {}
    family = family_of_model(backbone)
    if not is_frozen(family.tower(backbone)):
        return dict(zip(("pixel_values", "image_grid_thw"), load(keys), strict=True))

    def make(missing: list[Key]) -> list[Tensor]:
        with torch.no_grad(), precision:
            return encode(backbone, *load(missing))

    return family.feature_inputs(cache.get(keys, make))


def encode(backbone: Model, pixels: Tensor, grids: Tensor) -> list[Tensor]:
    """Return the vision tower's features (tokens, width) of each of ``Images``.

    Each image goes through the tower alone: matrix kernels choose their order of summation by the
    number of rows, so an image encoded among others would have features that depend on them.
    """
    family = family_of_model(backbone)
    patches = pixels.split(grids.prod(-1).tolist())
    return [family.encode(backbone, *image) for image in zip(patches, grids, strict=True)]


def fingerprint(patches: Tensor, grid: Tensor) -> bytes:
    """Return a digest of an image as the model sees it; equal images have equal ones."""
    digest = hashlib.blake2b(str((patches.dtype, grid.tolist())).encode(), digest_size=16)
    digest.update(patches.detach().contiguous().view(torch.uint8).cpu().numpy().data)
    return digest.digest()
