"""Images given to a trainer by path, each opened and cut once a step.

GRPO shows an image in all completions of a prompt, and TRL hands the prompts to the processor twice
a step: to sample, and to score. Its data loader, besides, reads the rows of a step again for every
forward pass. A row that holds paths costs it nothing.
"""

import copy
from pathlib import Path
from typing import Any

import torch
from transformers import BatchFeature

from legor1.core.images import open_image


class ImagesByPath:
    """An image processor to which rows name their images; all else it does as the given one does.

    Args:
        processor: the model's image processor.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.cut: dict[str, BatchFeature] = {}  # of the rows that were fetched last

    def __getattr__(self, name: str) -> Any:
        return getattr(self.processor, name)

    def __deepcopy__(self, memo: Any) -> Any:
        """Return a copy of the image processor alone: transformers saves what it has copied."""
        return copy.deepcopy(self.processor, memo)

    def fetch_images(self, rows: list[list[str] | None]) -> list[list[torch.Tensor]]:
        """Return the patches of each row's images, (n, width), in place of the images."""
        paths = dict.fromkeys(path for row in rows for path in row or ())
        self.cut = {path: self.cut.get(path) or self._cut(path) for path in paths}
        return [[self.cut[path]["pixel_values"] for path in row or ()] for row in rows]

    def __call__(self, images: list[list[torch.Tensor]], **kwargs: Any) -> BatchFeature:
        """Return all patches and grids in one, given what ``fetch_images`` returned."""
        grids = {id(made["pixel_values"]): made["image_grid_thw"] for made in self.cut.values()}
        patches = [one for row in images for one in row]
        grid = torch.cat([grids[id(one)] for one in patches])
        return BatchFeature({"pixel_values": torch.cat(patches), "image_grid_thw": grid})

    def _cut(self, path: str) -> BatchFeature:
        return self.processor(images=[open_image(Path(path))], return_tensors="pt")


def by_path(processor: Any) -> Any:
    """Return a copy of the model's ``processor`` that takes images by path."""
    made = copy.copy(processor)
    made.image_processor = ImagesByPath(processor.image_processor)
    return made
