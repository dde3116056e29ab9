"""How a booklet may look: its camera, paper, ink and paints, under the same names of colours."""

from dataclasses import dataclass, field

Colour = tuple[int, int, int]  # red, green, blue, each 0 to 255


def mix(colour: Colour, amount: float) -> Colour:
    """Return ``colour`` moved towards white (``amount`` above 0) or black (below 0)."""
    target = 255 if amount > 0 else 0
    r, g, b = (round(c + (target - c) * abs(amount)) for c in colour)
    return r, g, b


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


LOOKS = {
    "manual": Look(
        yaw=45, pitch=31, page=((250, 252, 254), (214, 231, 243)),
        panel=((226, 242, 252), (180, 215, 238)), border=(58, 120, 170), ink=(28, 38, 52),
        board=(172, 184, 190), highlight=(255, 92, 0), outline=4.0, shades=(0.20, 0.0, -0.26),
        shadow=95,
        colours={
            "red": (205, 28, 36), "blue": (18, 92, 184), "yellow": (250, 204, 22),
            "green": (22, 142, 66), "orange": (246, 128, 20), "white": (236, 238, 238),
            "black": (46, 48, 54), "purple": (128, 62, 160),
        },
    ),
    "sketch": Look(
        yaw=40, pitch=36, page=((252, 247, 234), (252, 247, 234)),
        panel=((255, 251, 240), (246, 236, 214)), border=(206, 190, 158), ink=(92, 78, 66),
        board=(222, 208, 178), highlight=(0, 150, 160), outline=1.6, shades=(0.34, -0.22, 0.06),
        shadow=45,
        colours={
            "red": (226, 66, 62), "blue": (62, 112, 212), "yellow": (255, 216, 72),
            "green": (64, 170, 92), "orange": (255, 150, 62), "white": (250, 250, 250),
            "black": (64, 64, 66), "purple": (150, 92, 190),
        },
    ),
}  # fmt: skip
COLOURS = tuple(LOOKS["manual"].colours)
