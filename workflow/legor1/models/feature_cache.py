"""Features of images by content, so that a frozen vision tower sees each image once."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

Key = TypeVar("Key", bound=Hashable)
Images = list[tuple[torch.Tensor, torch.Tensor]]


class ImageMemory:
    """The features of the images seen last, up to a number of bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self.kept: OrderedDict[Hashable, torch.Tensor] = OrderedDict()

    def features(
        self, images: Images, encode: Callable[[Images], list[torch.Tensor]]
    ) -> list[torch.Tensor]:
        """Return the features of each image, told apart by what the model sees of it.

        Args:
            images: each image's patches (n, width) and its grid (3,).
            encode: the vision tower; returns (tokens, hidden) of each image.
        """
        keys = [fingerprint(*image) for image in images]
        by_key = dict(zip(keys, images, strict=True))
        return self.recall(keys, lambda missing: encode([by_key[key] for key in missing]))

    def recall(
        self, keys: Sequence[Key], make: Callable[[list[Key]], list[torch.Tensor]]
    ) -> list[torch.Tensor]:
        """Return the features of each key's image; those not remembered are made in one call."""
        known = {key: self.kept[key] for key in keys if key in self.kept}
        missing = [key for key in dict.fromkeys(keys) if key not in known]
        if missing:
            known |= zip(missing, make(missing), strict=True)
        for key in keys:
            self._keep(key, known[key])
        return [known[key] for key in keys]

    def forget(self, key: Hashable) -> None:
        """Drop the features of an image that will not be asked for again."""
        if key in self.kept:
            self.size -= self.kept.pop(key).nbytes

    def _keep(self, key: Hashable, features: torch.Tensor) -> None:
        if key not in self.kept:
            self.size += features.nbytes
        self.kept[key] = features
        self.kept.move_to_end(key)
        while self.size > self.limit:
            self.size -= self.kept.popitem(last=False)[1].nbytes


def encode(backbone: Any, pixels: torch.Tensor, grids: torch.Tensor) -> list[torch.Tensor]:
    """Return the features (tokens, hidden) of each image that the vision tower makes.

    Each image goes through the tower alone: matrix kernels choose their order of summation by the
    number of rows, so an image encoded among others would have features that depend on them.

    Args:
        backbone: the model without its language head.
        pixels: patches of all images, (n, width).
        grids: (images, 3): frames, rows and columns of patches.
    """
    patches = pixels.split(grids.prod(-1).tolist())
    return [
        backbone.get_image_features(image, grid[None]).pooler_output[0]
        for image, grid in zip(patches, grids, strict=True)
    ]


def model_inputs(features: Any) -> dict[str, Any]:
    """Return the model's arguments that give it features in place of pixels; a list, in order."""
    return {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=features)}}


def fingerprint(patches: torch.Tensor, grid: torch.Tensor) -> bytes:
    """Return a digest of an image as the model sees it; equal images have equal ones."""
    digest = hashlib.blake2b(str((patches.dtype, grid.tolist())).encode(), digest_size=16)
    digest.update(patches.detach().contiguous().view(torch.uint8).cpu().numpy().data)
    return digest.digest()
