"""How booklets look: one fixed look, and any number of random ones."""

import colorsys
from dataclasses import dataclass, field

import numpy as np

from legor1.core.files import beside

Colour = tuple[int, int, int]  # red, green, blue, each 0 to 255
Range = tuple[float, float]


@dataclass(frozen=True)
class Look:
    """How a booklet is drawn: the camera (degrees), the paper and the ink."""

    yaw: float
    pitch: float
    page: tuple[Colour, Colour]
    panel: tuple[Colour, Colour]
    border: Colour
    ink: Colour
    board: Colour
    highlight: Colour
    outline: float  # width of the ink in thousandths of the picture's shorter side
    shades: tuple[float, float, float]  # top, left, right: towards white above 0, black below
    shadow: int  # its darkness, 0 to 255
    colours: dict[str, Colour] = field(hash=False)


_DATA = beside(__file__)
MANUAL_LOOK = Look(**_DATA["manual"])  # of the demo's manuals
COLOURS = tuple(MANUAL_LOOK.colours)
# No random look sees the bricks from within so many degrees of yaw and of pitch of that look, so
# that a model trained on random looks has something left to adapt to.
WINDOW = (6.0, 4.0)
# The shades that a colour's name covers: hue in degrees, saturation and value.
SHADES: dict[str, tuple[Range, Range, Range]] = _DATA["shades"]
ANY: Range = (0, 360)


def random_look(rng: np.random.Generator) -> Look:
    """Return a random look, none seen from within ``WINDOW`` of ``MANUAL_LOOK``."""
    yaw, pitch = _camera(rng)
    tint = rng.uniform(0, 360)
    paper = ((tint - 20, tint + 20), (0, 0.16), (0.86, 1))
    return Look(
        yaw=yaw,
        pitch=pitch,
        page=(_shade(rng, *paper), _shade(rng, *paper)),
        panel=(_shade(rng, *paper), _shade(rng, *paper)),
        border=_shade(rng, ANY, (0, 0.7), (0.3, 0.85)),
        ink=_shade(rng, ANY, (0, 0.5), (0.1, 0.4)),
        board=_shade(rng, ANY, (0, 0.25), (0.65, 0.92)),
        highlight=_shade(rng, ANY, (0.75, 1), (0.6, 1)),
        outline=rng.uniform(1, 5),
        shades=(rng.uniform(0.12, 0.38), rng.uniform(-0.3, 0.12), rng.uniform(-0.3, 0.12)),
        shadow=int(rng.integers(25, 115)),
        colours={name: _shade(rng, *ranges) for name, ranges in SHADES.items()},
    )


def in_window(yaw: float, pitch: float) -> bool:
    """Return whether a camera stands within ``WINDOW`` of that of ``MANUAL_LOOK``."""
    manual = MANUAL_LOOK
    return abs(yaw - manual.yaw) < WINDOW[0] and abs(pitch - manual.pitch) < WINDOW[1]


def _camera(rng: np.random.Generator) -> tuple[float, float]:
    """Return the yaw and pitch of a camera outside the window."""
    while True:
        yaw, pitch = rng.uniform(28, 62), rng.uniform(25, 44)
        if not in_window(yaw, pitch):
            return yaw, pitch


def _shade(rng: np.random.Generator, hue: Range, saturation: Range, value: Range) -> Colour:
    parts = rng.uniform(*hue) % 360 / 360, rng.uniform(*saturation), rng.uniform(*value)
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(*parts))
    return red, green, blue
