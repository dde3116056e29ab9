"""Bricks drawn as a building booklet draws them: seen from above at an angle, studs and all.

Space is measured in studs; x runs to the right and towards the viewer, y to the left and towards
the viewer, z up in plates (a brick is three plates high). Everything is drawn ``OVERSAMPLING``
times too large and reduced at the end, for smooth edges.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from legor1.data.synthetic.looks import Colour, Look

OVERSAMPLING = 2
BOARD = 7  # studs along a side of the baseplate
HIGHEST = 6  # plates: taller towers would hide what stands behind them
PLATE_HEIGHT = 0.4  # in studs; the real ratio, as are the two below
STUD_RADIUS = 0.3
STUD_HEIGHT = 0.22
KINDS = {"brick": 3, "plate": 1}  # height in plates

Point = tuple[float, float]


def mix(colour: Colour, amount: float) -> Colour:
    """Return ``colour`` moved towards white (``amount`` above 0) or black (below 0)."""
    target = 255 if amount > 0 else 0
    r, g, b = (round(c + (target - c) * abs(amount)) for c in colour)
    return r, g, b


@dataclass(frozen=True)
class Brick:
    """A brick or plate: its lowest corner, its studs along x and y, its colour's name."""

    x: int
    y: int
    z: int
    width: int
    depth: int
    kind: str
    colour: str

    @property
    def top(self) -> int:
        """The height of its upper face, in plates."""
        return self.z + KINDS[self.kind]

    def studs(self) -> Iterator[Point]:
        """Yield the middle of each stud as (x, y)."""
        for x in range(self.width):
            for y in range(self.depth):
                yield self.x + x + 0.5, self.y + y + 0.5

    def before(self, other: "Brick") -> bool:
        """Return whether this brick must be drawn before ``other``, which may hide it."""
        behind = self.x + self.width <= other.x or self.y + self.depth <= other.y
        return behind or self.top <= other.z


BASEPLATE = Brick(0, 0, -1, BOARD, BOARD, "plate", "")  # its colour is the look's


@dataclass(frozen=True)
class Camera:
    """A parallel projection: where a point of space falls on the picture."""

    yaw: float
    pitch: float
    scale: float = 1.0  # pixels a stud
    left: float = 0.0
    top: float = 0.0

    def project(self, x: float, y: float, z: float) -> Point:
        """Return the pixel of a point given in studs (x, y) and plates (z)."""
        cos, sin = math.cos(math.radians(self.yaw)), math.sin(math.radians(self.yaw))
        u = x * cos - y * sin
        v = (x * sin + y * cos) * self.flattening
        v -= z * PLATE_HEIGHT * math.cos(math.radians(self.pitch))
        return self.left + u * self.scale, self.top + v * self.scale

    @property
    def flattening(self) -> float:
        """How much lower than wide a circle lying on the ground looks."""
        return math.sin(math.radians(self.pitch))

    def faces(self, brick: Brick) -> tuple[list[Point], list[Point], list[Point]]:
        """Return the corners of the top, left and right face."""
        x1, y1, x2, y2 = brick.x, brick.y, brick.x + brick.width, brick.y + brick.depth
        at, low, high = self.project, brick.z, brick.top
        top = [at(x1, y1, high), at(x2, y1, high), at(x2, y2, high), at(x1, y2, high)]
        left = [top[3], top[2], at(x2, y2, low), at(x1, y2, low)]
        right = [top[2], top[1], at(x2, y1, low), left[2]]
        return top, left, right

    def silhouette(self, brick: Brick) -> list[Point]:
        """Return the outline of the brick without its studs."""
        top, left, right = self.faces(brick)
        return [top[0], top[1], right[2], left[2], left[3], top[3]]

    def extent(self, brick: Brick) -> tuple[float, float, float, float]:
        """Return the box (left, top, right, bottom) around the brick and its studs."""
        points = self.silhouette(brick)
        rise = STUD_HEIGHT / PLATE_HEIGHT
        x, y = self.project(brick.x + 0.5, brick.y + 0.5, brick.top + rise)
        points.append((x, y - STUD_RADIUS * self.flattening * self.scale))
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        return min(xs), min(ys), max(xs), max(ys)


def sort_by_depth(bricks: Sequence[Brick]) -> list[Brick]:
    """Return the bricks in an order in which each hides only earlier ones."""
    remaining, ordered = list(bricks), []
    while remaining:
        free = (
            brick
            for brick in remaining
            if not any(other.before(brick) and not brick.before(other) for other in remaining)
        )
        ordered.append(next(free, remaining[0]))
        remaining.remove(ordered[-1])
    return ordered


def visible_share(bricks: Sequence[Brick], new: Sequence[Brick], look: Look) -> float:
    """Return the least share of one of the ``new`` bricks' area that no other brick hides."""
    camera = Camera(look.yaw, look.pitch, scale=6, left=60, top=30)
    picture = Image.new("L", (120, 110))
    draw = ImageDraw.Draw(picture)
    for brick in sort_by_depth(bricks):
        draw.polygon(camera.silhouette(brick), fill=1 + new.index(brick) if brick in new else 255)
    seen = picture.histogram()
    shares = []
    for number, brick in enumerate(new, 1):
        alone = Image.new("L", picture.size)
        ImageDraw.Draw(alone).polygon(camera.silhouette(brick), fill=1)
        shares.append(seen[number] / alone.histogram()[1])
    return min(shares, default=1.0)


class Picture:
    """A picture in the making, ``OVERSAMPLING`` times too large."""

    def __init__(self, background: Image.Image, look: Look) -> None:
        self.image = background.copy()
        self.draw = ImageDraw.Draw(self.image)
        self.look = look
        self.line = max(1.0, min(self.image.size) * look.outline / 1000)

    def brick(self, brick: Brick, camera: Camera, highlighted: bool = False) -> None:
        """Draw one brick over what is there, in a bright outline if ``highlighted``."""
        if highlighted:
            self._halo(brick, camera)
        base = self.look.colours.get(brick.colour, self.look.board)
        top, left, right = camera.faces(brick)
        for face, shade in zip((top, left, right), self.look.shades, strict=True):
            self.draw.polygon(face, fill=mix(base, shade))
        glint = mix(base, 0.5)  # light caught by the rounded edges
        self._line([top[3], top[2], top[1]], glint, self.line)
        self._line([top[2], left[2]], mix(base, 0.25), self.line * 0.7)
        outline = camera.silhouette(brick)
        self._line([*outline, *outline[:2]], self._ink(base), self.line)
        for stud in brick.studs():
            self._stud(*stud, brick.top, camera, base)

    def shadow(self, bricks: Sequence[Brick], camera: Camera, blur: float) -> None:
        """Darken the ground beside one or more bricks, with an edge ``blur`` studs soft."""
        areas = [area for brick in bricks for area in _shadows(brick, camera)]
        soft = blur * camera.scale
        xs, ys = [x for area in areas for x, _ in area], [y for area in areas for _, y in area]
        left, top = round(min(xs) - 2.5 * soft), round(min(ys) - 2.5 * soft)
        coarse = max(1, round(soft / 3))  # a soft edge needs no more points than this
        width = 1 + round((max(xs) + 2.5 * soft - left) / coarse)
        height = 1 + round((max(ys) + 2.5 * soft - top) / coarse)
        mask = Image.new("L", (width, height))
        draw = ImageDraw.Draw(mask)
        for area in areas:
            moved = [((x - left) / coarse, (y - top) / coarse) for x, y in area]
            draw.polygon(moved, fill=self.look.shadow)
        mask = mask.filter(ImageFilter.GaussianBlur(soft / coarse))
        mask = mask.resize((width * coarse, height * coarse), Image.Resampling.BILINEAR)
        self.image.paste(self.look.ink, (left, top), mask)

    def text(self, position: Point, text: str, height: float) -> None:
        """Write bold ``text`` with its lower left corner at ``position``."""
        ink, font, stroke = self.look.ink, _font(round(height)), height / 40
        self.draw.text(position, text, ink, font, "ls", stroke_width=stroke, stroke_fill=ink)

    def finish(self) -> Image.Image:
        """Return the picture at its true size."""
        return self.image.reduce(OVERSAMPLING)

    def _stud(self, x: float, y: float, z: float, camera: Camera, base: Colour) -> None:
        draw, rx = self.draw, STUD_RADIUS * camera.scale
        ry = rx * camera.flattening
        cx, low = camera.project(x, y, z)
        _, high = camera.project(x, y, z + STUD_HEIGHT / PLATE_HEIGHT)
        top, left, right = (mix(base, shade) for shade in self.look.shades)
        ink, width = self._ink(base), max(1, round(self.line * 0.6))
        foot = (cx - rx, low - ry, cx + rx, low + ry)
        cast = (cx - rx * 0.8, low - ry * 0.8, cx + rx * 1.3, low + ry * 1.15)
        draw.ellipse(cast, fill=mix(top, -0.16))
        draw.ellipse(foot, fill=left)
        draw.rectangle((cx - rx, high, cx + rx, low), fill=left)
        edge = cx + rx * 0.15
        draw.chord(foot, -90, math.degrees(math.acos(0.15)), fill=right)
        draw.rectangle((edge, high, cx + rx, low), fill=right)
        draw.arc(foot, 0, 180, fill=ink, width=width)
        draw.line((cx - rx, high, cx - rx, low), fill=ink, width=width)
        draw.line((cx + rx, high, cx + rx, low), fill=ink, width=width)
        draw.ellipse((cx - rx, high - ry, cx + rx, high + ry), fill=top, outline=ink, width=width)
        inner = (cx - rx * 0.74, high - ry * 0.74, cx + rx * 0.74, high + ry * 0.74)
        draw.arc(inner, 150, 285, fill=mix(base, 0.62), width=width)

    def _halo(self, brick: Brick, camera: Camera) -> None:
        """Draw what peeps out behind a highlighted brick: a ring, and white to set it off."""
        unit, outline = min(self.image.size) * 0.006, camera.silhouette(brick)
        rise = brick.top + STUD_HEIGHT / PLATE_HEIGHT
        for colour, wide in ((self.look.highlight, 2.4 * unit), ((255, 255, 255), unit)):
            self._line([*outline, *outline[:2]], colour, wide * 2)
            rx = STUD_RADIUS * camera.scale + wide
            ry = STUD_RADIUS * camera.scale * camera.flattening + wide
            for x, y in brick.studs():
                u, v = camera.project(x, y, rise)
                self.draw.ellipse((u - rx, v - ry, u + rx, v + ry), fill=colour)

    def _line(self, points: list[Point], colour: Colour, width: float) -> None:
        self.draw.line(points, fill=colour, width=max(1, round(width)), joint="curve")

    def _ink(self, base: Colour) -> Colour:
        if base == self.look.board:
            return mix(base, -0.3)  # faint, so that the model stands out
        return mix(base, 0.3) if sum(base) < 220 else mix(base, -0.62)


def _shadows(brick: Brick, camera: Camera) -> Iterator[list[Point]]:
    """Yield areas of the ground that together make a brick's shadow, away from the light."""
    reach = 0.12 + 0.16 * (brick.top - brick.z)
    x1, y1, x2, y2 = brick.x, brick.y, brick.x + brick.width, brick.y + brick.depth
    for share in (0.0, 0.5, 1.0):
        dx, dy = reach * share, -0.45 * reach * share
        corners = ((x1, y1), (x2, y1), (x2, y2), (x1, y2))
        yield [camera.project(x + dx, y + dy, brick.z) for x, y in corners]


@functools.lru_cache(maxsize=128)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
