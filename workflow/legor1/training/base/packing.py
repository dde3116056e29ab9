"""Examples as tensors: a prefix, which has the images, once, and each question as a branch of it.

    [ system, demonstrations, image | question 1, answer 1 | question 2, answer 2 | … ]

A branch sees its prefix and itself, so an image is encoded once for all of its questions. Several
examples share a row, each blind to the others.

Batches are drawn as the training goes: each depends on seed, stage, process and step.
"""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from legor1.core.seeding import generator
from legor1.models.family import Processor, Recipe
from legor1.tasks.discovery import TASKS
from legor1.training.base.labels import NONE
from legor1.training.base.questions import BINARY, Booklet, Question, Scene, paper, random_booklet

ROW = 256  # tokens, unless one example is longer
VERDICT, REST, WORD = 5.0, 0.3, 1.5  # weights in the loss: of yes or no, what follows it, and words
AHEAD = 4  # batches that are drawn in advance
SIGNALS = (signal.SIGINT, signal.SIGTERM)  # that ask a training to stop
# Of a token: id, three positions, weight in the loss, branch (0: prefix), labels of a claim.
COLUMNS = 6 + len(NONE)


@dataclass(frozen=True)
class Example:
    """Questions about a scene, and solved ones about others that stand before it."""

    scene: Scene
    questions: Sequence[Question]
    solved: Sequence[tuple[Scene, Question]] = ()

    def scenes(self) -> list[Scene]:
        """Return all scenes in their order."""
        return [*(scene for scene, _ in self.solved), self.scene]


@dataclass(frozen=True)
class Batch:
    """Examples whose images have one size, in rows that are padded on the right."""

    pixels: Tensor  # (patches, width)
    grids: Tensor  # (images, 3)
    shown: Tensor  # (visual tokens, width), as of ``label_tokens``
    ids: Tensor  # (rows, length)
    positions: Tensor  # (3, rows, length)
    weights: Tensor  # (rows, length): of a token in the loss
    branches: Tensor  # (rows, length): which branch of its example, 0 for the prefix
    examples: Tensor  # (rows, length): which example of its row, -1 for padding
    claims: Tensor  # (rows, length, classes): labels at the token before an answer

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
        self.processor, self.tokenizer = processor, processor.tokenizer
        turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "\0"}]}]
        turns.append({"role": "assistant", "content": [{"type": "text", "text": "\0"}]})
        text = processor.apply_chat_template(turns * 2, tokenize=False)
        start, self.between, again, *_ = text.split("\0")
        self.end = self.tokenizer.eos_token
        self.start, self.behind = start.split(processor.image_token)
        self.again = again.removeprefix(self.end).split(processor.image_token)[0]

    def pack(self, examples: Sequence[Example]) -> Batch:
        """Return examples whose images all have one size as a batch."""
        images = self.processor.image_processor
        first = images(images=[examples[0].scene.image], return_tensors="pt")
        size = (first["image_grid_thw"][0, 1:] // images.merge_size).tolist()
        tokens = [self._tokens(each, size) for each in examples]
        rows = _fill([*map(len, tokens)])
        scenes = [scene for row in rows for at in row for scene in examples[at].scenes()]
        seen = images(images=[scene.image for scene in scenes], return_tensors="pt")
        shown = torch.from_numpy(np.concatenate([scene.shown for scene in scenes]))
        packed, owners = _pad(rows, tokens, self.tokenizer.pad_token_id)
        ids, *positions, _, branches = packed[..., :6].long().unbind(-1)
        places = torch.stack(positions), packed[..., 4], branches, owners, packed[..., 6:]
        return Batch(seen["pixel_values"], seen["image_grid_thw"], shown, ids, *places)

    def _tokens(self, example: Example, size: Sequence[int]) -> np.ndarray:
        """Return the tokens (n, ``COLUMNS``) of an example whose images take ``size`` tokens."""
        parts: list[np.ndarray] = []
        at, before = 0, self.start
        for number in range(len(example.scenes())):
            for part in (self._text(before), self._image(size), self._text(self.behind)):
                at = _append(parts, part, at)
            for _, question in example.solved[number : number + 1]:
                at = _append(parts, self._ask(question), at)
            before = self.again
        for branch, question in enumerate(example.questions, 1):
            _append(parts, self._ask(question), at)
            parts[-1][:, 5] = branch
        return np.concatenate(parts)

    def _ask(self, question: Question) -> np.ndarray:
        first = rest = 1.0 if "[" in question.answer else WORD
        if question.answer in BINARY:
            first, rest = VERDICT, REST
        asked = self._text(question.text + self.between)
        answer = self._text(question.answer + self.end)
        answer[:, 4] = np.where(np.arange(len(answer)), rest, first) * question.weight
        answer[:, 1:4] += len(asked)
        asked[-1, 6:] = question.labels
        return np.concatenate([asked, answer])

    def _text(self, text: str) -> np.ndarray:
        ids = self.tokenizer(text)["input_ids"]
        tokens = _blank(len(ids))
        tokens[:, 0], tokens[:, 1:4] = ids, np.arange(len(ids))[:, None]
        return tokens

    def _image(self, size: Sequence[int]) -> np.ndarray:
        rows, columns = size
        tokens = _blank(rows, columns)
        tokens[..., 0] = self.processor.image_token_id
        tokens[..., 2], tokens[..., 3] = np.arange(rows)[:, None], np.arange(columns)
        return tokens.reshape(-1, COLUMNS)


def _blank(*shape: int) -> np.ndarray:
    tokens = np.zeros((*shape, COLUMNS), dtype=np.float32)
    tokens[..., 6:] = NONE
    return tokens


def _append(parts: list[np.ndarray], part: np.ndarray, at: int) -> int:
    """Append tokens that begin at position ``at``; return the position behind them."""
    part[:, 1:4] += at
    parts.append(part)
    return int(part[:, 1:4].max()) + 1


def _fill(lengths: Sequence[int]) -> list[list[int]]:
    """Return which of the sequences share a row: each in the first that has room, longest first."""
    rows: list[list[int]] = []
    for at in sorted(range(len(lengths)), key=lambda at: -lengths[at]):
        room = (row for row in rows if sum(lengths[i] for i in row) + lengths[at] <= ROW)
        if (row := next(room, None)) is None:
            rows.append(row := [])
        row.append(at)
    return rows


def _pad(
    rows: Sequence[Sequence[int]], tokens: Sequence[np.ndarray], pad: int
) -> tuple[Tensor, Tensor]:
    """Return the rows' tokens (rows, length, ``COLUMNS``), and the example of each in its row."""
    shape = len(rows), max(sum(len(tokens[at]) for at in row) for row in rows)
    packed, owners = _blank(*shape), np.full(shape, -1)
    packed[..., 0] = pad
    for row, members in enumerate(rows):
        joined = np.concatenate([tokens[at] for at in members])
        packed[row, : len(joined)] = joined
        lengths = [len(tokens[at]) for at in members]
        owners[row, : len(joined)] = np.repeat(np.arange(len(members)), lengths)
    return torch.from_numpy(packed), torch.from_numpy(owners)


class Drawing(Dataset[Batch]):
    """The batches of a stage, by step, of one process (``rank``) of several."""

    def __init__(self, recipe: Recipe, stage: str, rank: int, processor: Processor) -> None:
        self.recipe, self.stage, self.rank = recipe, stage, rank
        self.sizes, self.budget = paper(recipe)
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
