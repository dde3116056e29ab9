"""Features of images by content, so that a frozen vision tower sees each image once."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch

Images = list[tuple[torch.Tensor, torch.Tensor]]


class ImageMemory:
    """The features of the images seen last, up to a number of bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self.kept: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    def features(
        self, images: Images, encode: Callable[[Images], list[torch.Tensor]]
    ) -> list[torch.Tensor]:
        """Return the features of each image; those not remembered are encoded in one call.

        Args:
            images: each image's patches (n, width) and its grid (3,).
            encode: the vision tower; returns (tokens, hidden) of each image.
        """
        keys = [fingerprint(*image) for image in images]
        return self.recall(keys, lambda missing: encode([images[place] for place in missing]))

    def recall(
        self, keys: Sequence[bytes], make: Callable[[list[int]], list[torch.Tensor]]
    ) -> list[torch.Tensor]:
        """Return what is remembered under each key; what is not is made in one call.

        Args:
            keys: digests of the images' content.
            make: returns what belongs to the keys at the given places.
        """
        known = {key: self.kept[key] for key in keys if key in self.kept}
        missing = {key: place for place, key in enumerate(keys) if key not in known}
        if missing:
            known |= zip(missing, make([*missing.values()]), strict=True)
        for key in keys:
            self._keep(key, known[key])
        return [known[key] for key in keys]

    def forget(self, key: bytes) -> None:
        """Remember nothing under a key."""
        if key in self.kept:
            self.size -= self.kept.pop(key).nbytes

    def _keep(self, key: bytes, features: torch.Tensor) -> None:
        if key not in self.kept:
            self.size += features.nbytes
        self.kept[key] = features
        self.kept.move_to_end(key)
        while self.size > self.limit:
            self.size -= self.kept.popitem(last=False)[1].nbytes


def fingerprint(patches: torch.Tensor, grid: torch.Tensor) -> bytes:
    """Return a digest of an image as the model sees it; equal images have equal ones."""
    digest = hashlib.blake2b(str((patches.dtype, grid.tolist())).encode(), digest_size=16)
    digest.update(patches.detach().contiguous().view(torch.uint8).cpu().numpy())
    return digest.digest()
