"""Inline SVG, element by element, with every value escaped; the page's stylesheet colours it."""

from typing import Any

from markupsafe import Markup, escape

SHAPES = ("circle", "square", "triangle", "diamond", "funnel")
COLOURS = 6  # --e0 to --e5 in the stylesheet


def tag(name: str, *children: str, **attributes: Any) -> Markup:
    """Return an element; its children are escaped unless they are ``Markup``.

    In an attribute's name ``_`` stands for ``-``, at the end for nothing (``class_``); None leaves
    the attribute out.
    """
    given = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), number(value))
        for key, value in attributes.items()
        if value is not None
    )
    texts = (one if isinstance(one, Markup) else escape(str(one)) for one in children)
    body = Markup("").join(texts)
    return Markup("<{0}{1}>{2}</{0}>").format(name, given, body)


def number(value: Any) -> str:
    """Return ``value`` as text, a float with two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def picture(
    ident: str, size: tuple[float, float], title: str, description: str, *children: str, kind: str
) -> Markup:
    """Return an ``svg`` element of (width, height) units that screen readers know by its title.

    ``ident`` is unique in the page; ``kind`` is the class in the stylesheet.
    """
    return tag(
        "svg",
        tag("title", title, id=f"{ident}-title"),
        tag("desc", description, id=f"{ident}-desc"),
        *children,
        viewBox=f"0 0 {number(size[0])} {number(size[1])}",
        role="img",
        aria_labelledby=f"{ident}-title",
        aria_describedby=f"{ident}-desc",
        class_=kind,
    )


def colour(index: int) -> str:
    """Return the class that sets the colour of experiment number ``index``."""
    return f"e{index % COLOURS}"


def marker(index: int, x: float, y: float, radius: float = 5.5) -> Markup:
    """Return the marker of experiment number ``index`` at a point, so that colour is not alone."""
    r, shape = radius, SHAPES[index % len(SHAPES)]
    if shape == "circle":
        return tag("circle", cx=x, cy=y, r=r, class_=f"mark {colour(index)}")
    corners = {
        "square": [(-r, -r), (r, -r), (r, r), (-r, r)],
        "triangle": [(0, -1.2 * r), (1.15 * r, 0.9 * r), (-1.15 * r, 0.9 * r)],
        "diamond": [(0, -1.3 * r), (1.3 * r, 0), (0, 1.3 * r), (-1.3 * r, 0)],
        "funnel": [(0, 1.2 * r), (1.15 * r, -0.9 * r), (-1.15 * r, -0.9 * r)],
    }[shape]
    points = " ".join(f"{number(x + dx)},{number(y + dy)}" for dx, dy in corners)
    return tag("polygon", points=points, class_=f"mark {colour(index)}")


def badge(index: int) -> Markup:
    """Return the marker alone, as it stands before an experiment's name in the text."""
    shape = marker(index, 7, 7.5)
    return tag("svg", shape, viewBox="0 0 14 14", class_="badge", aria_hidden="true")
