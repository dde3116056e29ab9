"""What the base model is asked: many questions about each scene of a random booklet."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from PIL import Image

from legor1.core.boxes import PixelBudget, Size, as_json, rescale
from legor1.core.seeding import generator
from legor1.data.synthetic import bricks, scenes, wording
from legor1.data.synthetic.bricks import Brick
from legor1.data.synthetic.dataset import parse_sizes
from legor1.data.synthetic.looks import Look, random_look
from legor1.data.synthetic.wording import Convention, Instruction, Part, Top, Value
from legor1.models.family import Recipe
from legor1.models.registry import DEFAULT
from legor1.tasks.prompts import query
from legor1.training.base.labels import NONE, Area, label_claim, label_tokens

BINARY = ("Yes.", "No.")
UNCHANGED = 0.1  # share of the steps whose picture shows nothing that was added
LIES = 2  # about a step; what is yes counts as much as what is no
TOLD = 2.0  # weight of an instruction in the loss
LIES_ABOUT = {"colour": 0.36, "place": 0.36, "size": 0.14, "kind": 0.14}  # how often


@dataclass(frozen=True)
class Question:
    """A question about an image, and its answer."""

    task: str  # that it belongs to, or is practice for
    text: str
    answer: str
    weight: float = 1.0  # of its loss
    labels: tuple[float, ...] = NONE  # as of ``label_claim``


@dataclass(frozen=True)
class Scene:
    """An image, what is asked about it, and what its visual tokens show (``label_tokens``)."""

    image: Image.Image
    questions: list[Question]
    shown: np.ndarray

    def about(self, task: str) -> list[Question]:
        """Return a task's questions, its own first."""
        return [question for question in self.questions if question.task == task]


@dataclass(frozen=True)
class Booklet:
    """What the scenes of a manual have in common: look, wording, and ``size`` of the images."""

    look: Look
    convention: Convention
    size: Size
    budget: PixelBudget

    def call_out(self, rng: np.random.Generator) -> Scene:
        """Return a part call-out: which parts there are, what is at a place, where a part is."""
        image, boxes = scenes.draw_call_out(rng, self.size, self.look)
        parts = [(self._shown(box), part) for box, part in boxes]
        labels = [self.convention.label(part) for _, part in parts]
        answer = as_json([box for box, _ in parts], labels)
        questions = [Question("object", query("object", wording.PROMPTS["object"]), answer)]
        for at in rng.permutation(len(parts))[:3]:
            box, label = parts[at][0], labels[at]
            questions.append(_what(box, label) if rng.random() < 0.6 else _where(label, box))
        areas = [Area.of_box(box, part) for box, part in parts]
        return Scene(image, questions, label_tokens(self._target, areas))

    def model(self, rng: np.random.Generator) -> Iterator[Scene]:
        """Yield the steps of one model: what was done, whether it was told, details of it."""
        previous = wording.BARE
        for number, step in enumerate(scenes.grow_model(rng, self.look), 1):
            told, added = step.instruction, step.added
            if rng.random() < UNCHANGED:
                added, questions = (), [self._state(told, previous, None)]
            else:
                questions = [*self._about(rng, step, previous)]
            image = scenes.draw_step(number, step.before, added, self.size, self.look)
            shown = label_tokens(self._target, [*self._areas(step.before, added)])
            yield Scene(image, questions, shown)
            previous = self.convention.words(told)

    def _about(
        self, rng: np.random.Generator, step: scenes.Step, previous: str
    ) -> Iterator[Question]:
        told = step.instruction
        asked = query("grounding", wording.PROMPTS["grounding"], previous)
        yield Question("grounding", asked, self.convention.words(told), TOLD)
        lies = {lie_about(rng, told, step.before)[1]: None for _ in range(LIES)}
        accepted = sum(self.convention.accepts(lie, told) for lie in lies)
        weight = max(0, len(lies) - 2 * accepted)
        yield replace(self._state(told, previous, told), weight=weight)
        yield from (self._state(lie, previous, told) for lie in lies)
        for truth in (True, False):
            attribute, lie = lie_about(rng, told, step.before)
            value = (told if truth else lie).value(attribute)
            asked, labels = self._named(value), label_claim(told, {attribute: value})
            yield Question("state", f"Is the new part {asked}?", BINARY[not truth], labels=labels)
        attribute = str(rng.choice(list(wording.VALUES)))
        which = f"Which {attribute} does the new part have?"
        yield Question("grounding", which, f"{self._named(told.value(attribute))}.")
        yield _where("the new part", self._around(step.added))
        for other in step.before[:1]:
            yield _what(self._around([other]), self.convention.label(part_of(other)))

    def _state(self, claim: Instruction, previous: str, done: Instruction | None) -> Question:
        text = f"{self.convention.words(claim)} {wording.PROMPTS['state']}"
        labels = label_claim(done, {name: claim.value(name) for name in wording.VALUES})
        answer = BINARY[not self.convention.accepts(claim, done)]
        return Question("state", query("state", text, previous), answer, labels=labels)

    def _named(self, value: Value) -> str:
        words = self.convention
        return words.phrase(value) if isinstance(value, str | Top) else words.size_name(value)

    @cached_property
    def _target(self) -> Size:
        return self.budget.processed_size(self.size)

    @cached_property
    def _camera(self) -> bricks.Camera:
        return scenes.board_camera(self.size, self.look)

    def _shown(self, box: Sequence[float]) -> list[int]:
        """Return a box in whole pixels of the processed image."""
        return [round(side) for side in rescale(box, self.size, self._target)]

    def _around(self, these: Sequence[Brick]) -> list[int]:
        """Return the box around bricks, as ``_shown``."""
        left, top, right, bottom = zip(*map(self._camera.extent, these), strict=True)
        box = min(left), min(top), max(right), max(bottom)
        return self._shown([side / bricks.OVERSAMPLING for side in box])

    def _areas(self, before: Sequence[Brick], added: Sequence[Brick]) -> Iterator[Area]:
        right, down = (
            target / size / bricks.OVERSAMPLING
            for target, size in zip(self._target, self.size, strict=True)
        )
        for brick in bricks.sort_by_depth([*before, *added]):
            outline = [(x * right, y * down) for x, y in self._camera.silhouette(brick)]
            middle = (brick.x + brick.width / 2, brick.y + brick.depth / 2)
            x, y = (2 * side / bricks.BOARD - 1 for side in middle)
            place = (x, y, brick.z / bricks.HIGHEST)
            yield Area(outline, self._around([brick]), part_of(brick), brick in added, place)


def random_booklet(rng: np.random.Generator, size: Size, budget: PixelBudget) -> Booklet:
    """Return a booklet with a random look and wording."""
    return Booklet(random_look(rng), wording.random_convention(rng), size, budget)


def paper(recipe: Recipe) -> tuple[tuple[Size, ...], PixelBudget]:
    """Return the sizes of a recipe's images, and its pixel budget."""
    return parse_sizes(",".join(recipe["image_sizes"])), DEFAULT.budget(**recipe["pixel_budget"])


def booklets(
    recipe: Recipe, purpose: str, count: int
) -> Iterator[tuple[np.random.Generator, Booklet]]:
    """Yield so many random booklets of a recipe, the sizes in turn, each with its generator."""
    sizes, budget = paper(recipe)
    for number in range(count):
        rng = generator(recipe["seed"], purpose, str(number))
        yield rng, random_booklet(rng, sizes[number % len(sizes)], budget)


def lie_about(
    rng: np.random.Generator, told: Instruction, standing: Sequence[Brick]
) -> tuple[str, Instruction]:
    """Return an attribute, and the instruction with another value of it and all else the same."""
    attribute = str(rng.choice(list(LIES_ABOUT), p=list(LIES_ABOUT.values())))
    others = told.others(attribute, standing)
    return attribute, told.but(attribute, others[rng.integers(len(others))])


def part_of(brick: Brick) -> Part:
    """Return one brick as a part."""
    short, long = sorted((brick.width, brick.depth))
    return Part(1, brick.colour, (short, long), brick.kind)


def _what(box: Sequence[int], label: str) -> Question:
    return Question("object", f"What is at {list(box)}?", f"{label}.")


def _where(what: str, box: Sequence[int]) -> Question:
    return Question("object", f"Where is {what}?", f"{list(box)}")
