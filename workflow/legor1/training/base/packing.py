"""Examples as tensors: a prefix, which has the images, once, and each question as a branch of it.

    [ system, demonstrations, image | question 1, answer 1 | question 2, answer 2 | … ]

A branch sees its prefix and itself, so an image is encoded once for all of its questions. Several
examples share a row, each blind to the others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from legor1.models.family import Processor
from legor1.tasks.discovery import TASKS
from legor1.training.base.questions import Booklet, Question, Scene

ROW = 512  # tokens, unless one example is longer
BINARY = ("Yes.", "No.")
VERDICT, REST, WORD = 5.0, 0.3, 1.5  # weights in the loss: of yes or no, what follows it, and words


@dataclass(frozen=True)
class Example:
    """Questions about a scene, and solved ones about others that stand before it."""

    scene: Scene
    questions: Sequence[Question]
    demonstrations: Sequence[tuple[Scene, Question]] = ()

    def scenes(self) -> list[Scene]:
        """Return all scenes in their order."""
        return [*(scene for scene, _ in self.demonstrations), self.scene]


@dataclass(frozen=True)
class Batch:
    """Examples whose images have one size, in rows that are padded on the right."""

    pixels: Tensor  # (patches, width)
    grids: Tensor  # (images, 3)
    shown: Tensor  # (visual tokens, width), as of ``label_tokens``
    ids: Tensor  # (rows, length)
    positions: Tensor  # (3, rows, length)
    weights: Tensor  # (rows, length): of a token in the loss
    examples: Tensor  # (rows, length): which example of its row a token belongs to, -1 for padding
    branches: Tensor  # (rows, length): which branch of the example, 0 for its prefix

    def mask(self) -> Tensor:
        """Return which tokens each one sees, (rows, 1, length, length)."""
        together = self.examples[:, :, None] == self.examples[:, None]
        same = self.branches[:, :, None] == self.branches[:, None]
        return (together & (same | (self.branches[:, None] == 0))).tril()[:, None]


def plain(rng: np.random.Generator, booklet: Booklet) -> Iterator[Example]:
    """Yield the scenes of one model and three call-outs, each with all of its questions."""
    for scene in (*booklet.model(rng), *(booklet.call_out(rng) for _ in range(3))):
        yield Example(scene, scene.questions)


def demonstrated(rng: np.random.Generator, booklet: Booklet) -> Iterator[Example]:
    """Yield, task by task, scenes of a booklet behind solved examples of it."""
    model, call_outs = [*booklet.model(rng)], [booklet.call_out(rng) for _ in range(4)]
    for name, task in TASKS.items():
        turns, scenes = task.plan.turns, call_outs if task.answer == "boxes" else model
        scenes = [scene for scene in scenes if scene.about(name)]
        for at in range(turns, len(scenes)):
            shown = zip(scenes[at - turns : at], rng.permutation(BINARY), strict=False)
            solved = [(scene, _answered(scene.about(name), answer)) for scene, answer in shown]
            yield Example(scenes[at], scenes[at].about(name), solved)


def _answered(questions: Sequence[Question], answer: str) -> Question:
    """Return a question with that answer; without one the first, which is the task's own."""
    return next((question for question in questions if question.answer == answer), questions[0])


class Packer:
    """Makes batches for a model with this ``processor``."""

    def __init__(self, processor: Processor) -> None:
        self.processor = processor
        turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "\0"}]}]
        turns.append({"role": "assistant", "content": [{"type": "text", "text": "\0"}]})
        text = processor.apply_chat_template(turns * 2, tokenize=False)
        start, self.between, again, *_ = text.split("\0")
        self.start, self.behind = start.split(processor.image_token)
        self.again = again.split(processor.image_token)[0]  # from one turn's answer to the next
        self.end = processor.tokenizer.eos_token

    def pack(self, examples: Sequence[Example]) -> Batch:
        """Return examples whose images all have one size as a batch."""
        grid = self.processor.image_processor(images=[examples[0].scene.image])["image_grid_thw"]
        merge = self.processor.image_processor.merge_size
        size = (int(grid[0][1]) // merge, int(grid[0][2]) // merge)
        tokens = [self._tokens(example, size) for example in examples]
        rows = _fill([len(each.ids) for each in tokens])
        scenes = [scene for row in rows for at in row for scene in examples[at].scenes()]
        images = images_of(self.processor, scenes)
        return Batch(*images, *_padded([[tokens[at] for at in row] for row in rows]))

    def _tokens(self, example: Example, size: tuple[int, int]) -> "Tokens":
        tokens, before = Tokens(self.processor), self.start
        for _, question in example.demonstrations:
            tokens.text(before).image(size).text(self.behind)
            self._ask(tokens, question)
            before = self.again.removeprefix(self.end)
        tokens.text(before).image(size).text(self.behind)
        following = tokens.following
        for number, question in enumerate(example.questions, 1):
            tokens.branch, tokens.following = number, following
            self._ask(tokens, question)
        return tokens

    def _ask(self, tokens: "Tokens", question: Question) -> None:
        tokens.text(question.text + self.between)
        first = rest = 1.0 if "[" in question.answer else WORD
        if question.answer in BINARY:
            first, rest = VERDICT, REST
        tokens.text(question.answer + self.end, first * question.weight, rest * question.weight)


@dataclass
class Tokens:
    """The tokens of an example, as they are appended."""

    processor: Processor
    branch: int = 0  # the number of the branch that is being written
    following: int = 0  # the position of its next token
    ids: list[int] = field(default_factory=list)
    positions: list[tuple[int, int, int]] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    branches: list[int] = field(default_factory=list)

    def text(self, text: str, first: float = 0.0, rest: float = 0.0) -> "Tokens":
        """Append text; its ``first`` token and the ``rest`` have these weights in the loss."""
        ids = self.processor.tokenizer(text)["input_ids"]
        after = self.following + len(ids)
        self._add(ids, [(at, at, at) for at in range(self.following, after)], after)
        self.weights += [first] + [rest] * (len(ids) - 1)
        return self

    def image(self, size: tuple[int, int]) -> "Tokens":
        """Append an image of so many rows and columns of visual tokens."""
        rows, columns = size
        start = self.following
        places = [(start, start + y, start + x) for y in range(rows) for x in range(columns)]
        self._add([self.processor.image_token_id] * len(places), places, start + max(size))
        self.weights += [0.0] * len(places)
        return self

    def _add(self, ids: list[int], positions: list[tuple[int, int, int]], after: int) -> None:
        self.ids += ids
        self.positions += positions
        self.branches += [self.branch] * len(ids)
        self.following = after


def images_of(processor: Processor, scenes: Sequence[Scene]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pixels, grids and labels of scenes whose images have one size."""
    images = [scene.image for scene in scenes]
    processed = processor.image_processor(images=images, return_tensors="pt")
    shown = torch.from_numpy(np.concatenate([scene.shown for scene in scenes]))
    return processed["pixel_values"], processed["image_grid_thw"], shown


def _fill(lengths: Sequence[int]) -> list[list[int]]:
    """Return which of the sequences share a row: each in the first that has room, longest first."""
    rows: list[list[int]] = []
    for at in sorted(range(len(lengths)), key=lambda at: -lengths[at]):
        room = (row for row in rows if sum(lengths[i] for i in row) + lengths[at] <= ROW)
        if (row := next(room, None)) is None:
            rows.append(row := [])
        row.append(at)
    return rows


def _padded(rows: Sequence[Sequence[Tokens]]) -> Iterator[Tensor]:
    """Yield ids, positions, weights, examples and branches of the rows."""
    shape = len(rows), max(sum(len(each.ids) for each in row) for row in rows)
    pad = rows[0][0].processor.tokenizer.pad_token_id
    ids, examples, branches = np.full(shape, pad), np.full(shape, -1), np.zeros(shape, int)
    positions, weights = np.zeros((*shape, 3), int), np.zeros(shape, np.float32)
    for row, members in enumerate(rows):
        at = 0
        for number, each in enumerate(members):
            span = row, slice(at, at := at + len(each.ids))
            ids[span], positions[span], weights[span] = each.ids, each.positions, each.weights
            examples[span], branches[span] = number, each.branches
    places = positions.transpose(2, 0, 1)
    yield from map(torch.from_numpy, (ids, places, weights, examples, branches))
