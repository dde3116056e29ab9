"""What a booklet shows: part call-outs with their boxes, and models that grow step by step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from legor1.core.boxes import Size
from legor1.data.synthetic import bricks
from legor1.data.synthetic.bricks import BASEPLATE, Brick, Camera, Picture
from legor1.data.synthetic.looks import COLOURS, Colour, Look
from legor1.data.synthetic.wording import MANUAL, PLACES, SIZES, Instruction, Part, Place, Top

FALSIFICATIONS = {"missing": 0.25, "moved": 0.5, "recoloured": 0.25}  # how often
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Step:
    """One step of a model: what stood there, what is added, and what the builder is told."""

    instruction: Instruction
    before: tuple[Brick, ...]
    added: tuple[Brick, ...]

    @property
    def text(self) -> str:
        """The instruction as the dataset words it."""
        return MANUAL.words(self.instruction)


def draw_part(rng: np.random.Generator, counts: Sequence[float]) -> Part:
    """Return a random part; ``counts`` are the weights of its being needed once, twice, …"""
    return Part(
        count=1 + int(rng.choice(len(counts), p=counts)),
        colour=str(rng.choice(COLOURS)),
        size=SIZES[rng.integers(len(SIZES))],
        kind=str(rng.choice(list(bricks.KINDS))),
    )


def draw_call_out(
    rng: np.random.Generator, size: Size, look: Look
) -> tuple[Image.Image, list[tuple[Box, Part]]]:
    """Draw a part call-out; return it, and each part with its box in pixels."""
    parts: dict[tuple, Part] = {}
    wanted = 1 + int(rng.choice(4, p=(0.4, 0.3, 0.2, 0.1)))
    while len(parts) < wanted:
        part = draw_part(rng, (0.4, 0.3, 0.2, 0.1))
        parts.setdefault((part.colour, part.size, part.kind), part)
    picture = Picture(empty_panel(size, look), look)
    cells = zip(parts.values(), _cells(rng, wanted, size), strict=True)
    boxes = [(_put(rng, picture, part, cell, size), part) for part, cell in cells]
    return picture.finish(), boxes


def _cells(rng: np.random.Generator, count: int, size: Size) -> Iterator[tuple[float, ...]]:
    """Yield the fractions (x1, y1, x2, y2) of the picture that each part may fill."""
    aspect = size[0] / size[1]
    layouts: list[list[int]] = {
        1: [[1]],
        2: [[2]] * (aspect > 0.8) + [[1, 1]] * (aspect < 1.25),
        3: [[1, 2], [2, 1]] + [[3]] * (aspect > 1.3),
        4: [[2, 2]],
    }[count]
    rows = layouts[rng.integers(len(layouts))]
    margin, y = 0.065, 0.065
    for columns, height in zip(rows, _shares(rng, len(rows)), strict=True):
        x, tall = margin, height * (1 - 2 * margin)
        for width in _shares(rng, columns):
            wide = width * (1 - 2 * margin)
            yield x + 0.01, y + 0.01, x + wide - 0.01, y + tall - 0.01
            x += wide
        y += tall


def _shares(rng: np.random.Generator, count: int) -> np.ndarray:
    weights = rng.uniform(0.92, 1.08, count)
    return weights / weights.sum()


def _put(
    rng: np.random.Generator, picture: Picture, part: Part, cell: tuple[float, ...], size: Size
) -> Box:
    """Draw a part and its count somewhere in its cell; return the part's box in pixels."""
    look, (width, height) = picture.look, picture.image.size
    brick = part.brick(turned=bool(rng.integers(2)))
    left, top, right, bottom = Camera(look.yaw, look.pitch).extent(brick)
    wide, tall = right - left, bottom - top
    letters = 0.15 * min(height, 1.2 * width)
    x1, y1, x2, y2 = cell[0] * width, cell[1] * height, cell[2] * width, cell[3] * height
    y2 -= letters * 0.8
    most = min(0.5 * width / wide, 0.5 * height / tall, (x2 - x1) / wide, (y2 - y1) / tall)
    least = min(most, max(0.2 * width / wide, 0.2 * height / tall, 0.75 * most))
    scale = rng.uniform(least, most)
    x = x1 + rng.random() * (x2 - x1 - wide * scale)
    y = y1 + rng.random() * (y2 - y1 - tall * scale)
    camera = Camera(look.yaw, look.pitch, scale, x - left * scale, y - top * scale)
    picture.shadow([brick], camera, blur=0.25)
    picture.brick(brick, camera)
    picture.text((x, y + tall * scale + letters * 0.76), f"{part.count}x", letters)
    a, b, c, d = camera.extent(brick)
    half, k = (picture.line + 1) / 2, bricks.OVERSAMPLING  # a line may be a pixel wider than asked
    return (
        max(0, int((a - half) // k)),
        max(0, int((b - half) // k)),
        min(size[0], int(-((-c - half) // k))),
        min(size[1], int(-((-d - half) // k))),
    )


def grow_model(rng: np.random.Generator, look: Look) -> Iterator[Step]:
    """Yield the steps of one model, three to six of them on a baseplate that was empty."""
    standing: tuple[Brick, ...] = ()
    for _ in range(int(rng.integers(3, 7))):
        if (step := _next_step(rng, standing, look)) is None:
            return
        yield step
        standing += step.added


def _next_step(rng: np.random.Generator, standing: tuple[Brick, ...], look: Look) -> Step | None:
    for _ in range(100):
        part = draw_part(rng, (0.7, 0.3))
        if part.count > 1 and max(part.size) > 2:
            continue  # two large ones would fill several places at once
        place, below = _draw_place(rng, standing)
        added = _place(part, bool(rng.integers(2)), below or place)
        if added and _fits(standing, added, look):
            return Step(Instruction(part, place), standing, added)
    return None  # a crowded board: the model is done


def _draw_place(rng: np.random.Generator, standing: Sequence[Brick]) -> tuple[Place, Brick | None]:
    """Return a place, and the brick below where it is on top of one."""
    if standing and rng.random() < 0.45:
        below = standing[int(rng.integers(len(standing)))]
        if sum(b.colour == below.colour for b in standing) == 1:
            return Top(below.colour, below.kind), below
    return str(rng.choice(list(PLACES))), None


def _place(part: Part, turned: bool, where: Place | Brick) -> tuple[Brick, ...]:
    """Return the part's bricks side by side at a place, or none where there is no room."""
    brick = part.brick(turned)
    step = (brick.width, 0) if brick.width <= brick.depth else (0, brick.depth)
    wide, deep = brick.width + step[0] * (part.count - 1), brick.depth + step[1] * (part.count - 1)
    if isinstance(where, Brick):
        if wide > where.width or deep > where.depth:
            return ()
        x, y, z = where.x, where.y, where.top
    else:
        ends = PLACES[str(where)]
        x, y, z = round(ends[0] * (bricks.BOARD - wide)), round(ends[1] * (bricks.BOARD - deep)), 0
    numbers = range(part.count)
    return tuple(replace(brick, x=x + i * step[0], y=y + i * step[1], z=z) for i in numbers)


def _fits(standing: Sequence[Brick], added: Sequence[Brick], look: Look) -> bool:
    clear = all(a.before(b) or b.before(a) for a in added for b in standing)
    low = max(brick.top for brick in added) <= bricks.HIGHEST
    together = [*standing, *added]
    return clear and low and bricks.visible_share(together, added, look) > 0.7


def falsify(rng: np.random.Generator, step: Step, look: Look) -> tuple[Brick, ...]:
    """Return what is added when the step is done wrongly: nothing, elsewhere, another colour."""
    how = str(rng.choice(list(FALSIFICATIONS), p=list(FALSIFICATIONS.values())))
    first = step.added[0]
    if not step.before and how == "missing":
        how = "moved"  # or the board would be bare, in every manual
    if how == "recoloured":
        colour = str(rng.choice([name for name in COLOURS if name != first.colour]))
        return tuple(replace(brick, colour=colour) for brick in step.added)
    if how == "moved":
        part = Part(len(step.added), first.colour, (first.width, first.depth), first.kind)
        for phrase in rng.permutation(list(PLACES)):
            moved = _place(part, False, str(phrase))
            if phrase != step.instruction.place and _fits(step.before, moved, look):
                return moved
    return ()


def draw_step(
    number: int, before: Sequence[Brick], added: Sequence[Brick], size: Size, look: Look
) -> Image.Image:
    """Draw the model at one step, what was just added in an outline of its own."""
    picture = Picture(empty_board(size, look), look)
    camera = board_camera(size, look)
    every = [*before, *added]
    if every:
        picture.shadow(every, camera, blur=0.2)
    for brick in bricks.sort_by_depth(every):
        picture.brick(brick, camera, highlighted=brick in added)
    letters = 0.13 * min(picture.image.size)
    picture.text((letters * 0.4, letters * 1.15), str(number), letters)
    return picture.finish()


def _gradient(size: Size, ends: tuple[Colour, Colour]) -> Image.Image:
    """Return a picture that runs from one colour at the top to another at the bottom."""
    ramp = Image.linear_gradient("L").resize((1, size[1])).resize(size)
    top, bottom = (Image.new("RGB", size, colour) for colour in ends)
    return Image.composite(bottom, top, ramp)


@lru_cache(maxsize=16)
def empty_panel(size: Size, look: Look) -> Image.Image:
    """Return the part call-out of a picture of ``size`` with nothing in it, oversampled."""
    large = (size[0] * bricks.OVERSAMPLING, size[1] * bricks.OVERSAMPLING)
    page, panel = _gradient(large, look.page), _gradient(large, look.panel)
    unit = min(large) / 100
    box = (unit * 2, unit * 2, large[0] - unit * 2, large[1] - unit * 2)
    mask = Image.new("L", large)
    ImageDraw.Draw(mask).rounded_rectangle(box, unit * 5, fill=255)
    page.paste(panel, mask=mask)
    ImageDraw.Draw(page).rounded_rectangle(box, unit * 5, outline=look.border, width=round(unit))
    return page


@lru_cache(maxsize=16)
def empty_board(size: Size, look: Look) -> Image.Image:
    """Return the bare baseplate of a step picture of ``size``, oversampled."""
    large = (size[0] * bricks.OVERSAMPLING, size[1] * bricks.OVERSAMPLING)
    camera = board_camera(size, look)
    picture = Picture(_gradient(large, look.page), look)
    picture.shadow([BASEPLATE], camera, blur=0.5)
    picture.brick(BASEPLATE, camera)
    return picture.image


def board_camera(size: Size, look: Look) -> Camera:
    """Return the camera that fits the baseplate, and what may stand on it, into a picture."""
    unit = Camera(look.yaw, look.pitch)
    left, top, right, bottom = unit.extent(BASEPLATE)
    top -= unit.project(0, 0, 0)[1] - unit.project(0, 0, bricks.HIGHEST)[1]
    width, height = (side * bricks.OVERSAMPLING for side in size)
    scale = 0.92 * min(width / (right - left), height / (bottom - top))
    x = width / 2 - scale * (left + right) / 2
    y = height / 2 - scale * (top + bottom) / 2
    return Camera(look.yaw, look.pitch, scale, x, y)
