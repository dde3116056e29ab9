"""From TRL's padded rows, one a completion, to one packed row with each prompt once, and back.

    rows     [ pad | prompt | completion | pad ]  × G
    packed   [ prompt but its last token | last + completion 1 | … | last + completion G ]

A completion's branch begins with the prompt's last token, since that token predicts the
completion's first: what is scored then lies inside the branch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from legor1.training.fast.attention import Layout

Image = tuple[Tensor, Tensor]  # patches (n, width) and grid (3,)
IGNORED = -100  # a label that is not scored
PROMPT = ("prompt_ids", "prompt_mask", "pixel_values", "image_grid_thw")  # its parts of a batch


@dataclass(frozen=True)
class Rows:
    """Prompts padded on the left, completions on the right."""

    ids: Tensor  # (rows, prompt + completion)
    mask: Tensor  # of the same shape
    completion: int  # tokens of a padded completion
    images: list[list[Image]]

    def __getitem__(self, rows: slice) -> "Rows":
        return Rows(self.ids[rows], self.mask[rows], self.completion, self.images[rows])

    @property
    def scored(self) -> Tensor:
        """Which of a completion's tokens are scored, (rows, completion)."""
        return self.mask[:, self.mask.size(1) - self.completion :].bool()

    @cached_property
    def groups(self) -> list[range]:
        """Neighbouring rows with the same prompt, by content: a group, or the part that is here."""
        width = self.ids.size(1) - self.completion
        prompts = torch.stack([self.ids, self.mask], dim=1)[:, :, :width]
        changed = (prompts[1:] != prompts[:-1]).flatten(1).any(1).tolist()
        return runs(
            len(self.ids),
            lambda row: not changed[row - 1] and same(self.images[row - 1], self.images[row]),
        )

    def prompt(self, row: int) -> Tensor:
        """Return the ids of a row's prompt, without padding."""
        width = self.ids.size(1) - self.completion
        return self.ids[row, :width][self.mask[row, :width].bool()]

    def completions(self, rows: range) -> list[Tensor]:
        """Return the ids of each row's completion, without padding."""
        return [self.ids[row, -self.completion :][self.scored[row]] for row in rows]


def images_of_rows(
    pixels: Tensor | None, grids: Tensor | None, counts: list[int] | None, rows: int
) -> list[list[Image]]:
    """Return the images of each row, given all patches (n, width) and grids (images, 3).

    ``counts`` is the number of images of each of the ``rows``.
    """
    if pixels is None or grids is None or counts is None:
        return [[] for _ in range(rows)]
    patches = torch.split(pixels, grids.prod(-1).tolist())
    images = iter(zip(patches, grids, strict=True))
    return [[next(images) for _ in range(count)] for count in counts]


def same(images: list[Image], others: list[Image]) -> bool:
    """Return whether two rows show the same images."""
    return len(images) == len(others) and all(
        torch.equal(grid, grid_) and (patches is patches_ or torch.equal(patches, patches_))
        for (patches, grid), (patches_, grid_) in zip(images, others, strict=True)
    )


def runs(rows: int, joined: Callable[[int], bool]) -> list[range]:
    """Return the runs of neighbouring rows; ``joined`` tells if a row belongs to the one before."""
    starts = [row for row in range(rows) if row == 0 or not joined(row)]
    return [range(*pair) for pair in zip(starts, [*starts[1:], rows], strict=True)]


@dataclass(frozen=True)
class Packed:
    """A packed row, and where its scores belong."""

    layout: Layout
    ids: Tensor  # (1, length)
    labels: Tensor  # (1, length), not shifted
    positions: Tensor  # (3, 1, length)
    images: list[Image]  # those of each group's prompt, in the row's order
    places: Tensor  # of the scores of all completions in the shifted output
    scored: Tensor  # (rows, completion), where they belong

    def unpack(self, scores: Tensor) -> Tensor:
        """Return scores (1, length - 1) as (rows, completion), 0 where nothing is scored."""
        padded = scores.new_zeros(self.scored.shape)
        return padded.masked_scatter(self.scored, scores[0, self.places])


# A prompt's ids and images → positions (3, 1, prompt) and the position of the token behind it.
Positions = Callable[[Tensor, list[Image]], tuple[Tensor, int]]


def pack(rows: Rows, positions_of: Positions) -> Packed:
    """Return the rows as one packed row."""
    device = rows.ids.device
    ids, labels, positions, images, lengths = [], [], [], [], []
    for group in rows.groups:
        prompt = rows.prompt(group[0])
        prompt_positions, following = positions_of(prompt, rows.images[group[0]])
        completions = rows.completions(group)
        ids.append(prompt[:-1])
        labels.append(torch.full_like(prompt[:-1], IGNORED))
        positions.append(prompt_positions[..., :-1])
        for completion in completions:
            later = torch.arange(following, following + len(completion), device=device)
            ids += [prompt[-1:], completion]
            labels += [torch.full_like(prompt[-1:], IGNORED), completion]
            positions += [prompt_positions[..., -1:], later.expand(3, 1, -1)]
        images += rows.images[group[0]]
        lengths.append((len(prompt) - 1, [len(completion) + 1 for completion in completions]))
    layout = Layout(lengths, device)
    spans = [span for group in layout.groups for span in group.spans()]
    return Packed(
        layout=layout,
        ids=torch.cat(ids)[None],
        labels=torch.cat(labels)[None],
        positions=torch.cat(positions, dim=-1),
        images=images,
        places=torch.cat([torch.arange(s.start, s.stop - 1, device=device) for s in spans]),
        scored=rows.scored,
    )


def shuffle_groups(batch: dict) -> dict:
    """Return a batch with its groups in random order, the rows of each together.

    Draws as many random numbers as TRL's shuffle of rows, so that what is sampled next is the same.
    """
    prompt = [batch[name] for name in PROMPT if name in batch]
    rows = len(batch["prompt_ids"])
    groups = runs(rows, lambda row: all(torch.equal(part[row - 1], part[row]) for part in prompt))
    drawn = torch.randperm(rows).tolist()
    groups.sort(key=lambda group: drawn[group[0]])
    order = [row for group in groups for row in group]

    def ordered(values: object) -> object:
        if isinstance(values, list):
            return [values[row] for row in order]
        return values[order] if torch.is_tensor(values) and values.ndim else values

    return {name: ordered(values) for name, values in batch.items()}
