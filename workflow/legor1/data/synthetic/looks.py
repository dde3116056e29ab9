"""How booklets look: one fixed look, and any number of random ones."""

import colorsys
from dataclasses import dataclass, field

import numpy as np

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


MANUAL_LOOK = Look(  # of the demo's manuals
    yaw=45, pitch=31, page=((250, 252, 254), (214, 231, 243)),
    panel=((226, 242, 252), (180, 215, 238)), border=(58, 120, 170), ink=(28, 38, 52),
    board=(172, 184, 190), highlight=(255, 92, 0), outline=4.0, shades=(0.20, 0.0, -0.26),
    shadow=95,
    colours={
        "red": (205, 28, 36), "blue": (18, 92, 184), "yellow": (250, 204, 22),
        "green": (22, 142, 66), "orange": (246, 128, 20), "white": (236, 238, 238),
        "black": (46, 48, 54), "purple": (128, 62, 160),
    },
)  # fmt: skip
COLOURS = tuple(MANUAL_LOOK.colours)
# No random look sees the bricks from within so many degrees of yaw and of pitch of that look, so
# that a model trained on random looks has something left to adapt to.
WINDOW = (6.0, 4.0)
# The shades that a colour's name covers: hue in degrees, saturation and value.
SHADES: dict[str, tuple[Range, Range, Range]] = {
    "red": ((-9, 4), (0.68, 0.95), (0.72, 0.95)),
    "blue": ((205, 224), (0.6, 0.95), (0.6, 0.88)),
    "yellow": ((44, 53), (0.65, 0.95), (0.92, 1)),
    "green": ((128, 155), (0.5, 0.9), (0.45, 0.75)),
    "orange": ((21, 33), (0.72, 0.95), (0.92, 1)),
    "white": ((0, 360), (0, 0.03), (0.92, 1)),
    "black": ((0, 360), (0, 0.15), (0.14, 0.28)),
    "purple": ((265, 290), (0.4, 0.7), (0.55, 0.8)),
}
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
