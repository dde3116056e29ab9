"""The batches of a training, drawn as it goes: each depends on seed, stage, process and step."""

import signal
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch.utils.data import DataLoader, Dataset

from legor1.core.seeding import generator
from legor1.data.synthetic.dataset import parse_sizes
from legor1.models.family import Processor, Recipe
from legor1.models.registry import DEFAULT
from legor1.training.base.packing import Batch, Packer, demonstrated, plain
from legor1.training.base.questions import random_booklet

AHEAD = 4  # batches that are drawn in advance
SIGNALS = (signal.SIGINT, signal.SIGTERM)  # that ask a training to stop


class Drawing(Dataset[Batch]):
    """The batches of a stage, by step, of one process (``rank``) of several."""

    def __init__(self, recipe: Recipe, stage: str, rank: int, processor: Processor) -> None:
        self.recipe, self.stage, self.rank = recipe, stage, rank
        self.sizes = parse_sizes(",".join(recipe["image_sizes"]))
        self.budget = DEFAULT.budget(**recipe["pixel_budget"])
        self.packer = Packer(processor)

    def __getitem__(self, step: int) -> Batch:
        rng = generator(self.recipe["seed"], self.stage, f"{self.rank}/{step}")
        size = self.sizes[rng.integers(len(self.sizes))]
        asked = self.stage == "joint"
        shown = asked and rng.random() < self.recipe["demonstrations"]
        drawn, images = [], 0
        while images < self.recipe[self.stage]["images"]:
            booklet = random_booklet(rng, size, self.budget)
            for example in (demonstrated if shown else plain)(rng, booklet):
                drawn.append(example if asked else replace(example, questions=()))
                images += len(example.scenes())
                if images >= self.recipe[self.stage]["images"]:
                    break
        return self.packer.pack(drawn)

    def since(self, step: int) -> Iterator[Batch]:
        """Yield the batches of ``step`` and all later ones, drawn by a process of their own."""
        steps = range(step, self.recipe[self.stage]["steps"])
        loader = DataLoader(
            self,  # type: ignore[arg-type]
            batch_size=None,
            sampler=steps,
            num_workers=1,
            prefetch_factor=AHEAD,
            multiprocessing_context="fork",
            worker_init_fn=leave_signals,
            generator=torch.Generator(),  # not the global one, from which nothing is to be drawn
        )
        return iter(loader)


def leave_signals(_: int) -> None:
    """Let the first process alone answer a signal that its whole process group gets."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
