"""Conversations about a red box on white, drawn on the spot."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from legor1.tasks import prompts

FACTS = {
    "schema_version": 1,
    "task": "object",
    "manual": "m",
    "variant": "plain",
    "box_frame": "processed",
}


def draw_turns(
    tree: Path,
    sizes: Sequence[tuple[int, int]],
    box: Callable[[int], Sequence[int]],
    label: Callable[[int], str] = lambda number: "1 red 2x4 brick",
) -> list[dict[str, Any]]:
    """Draw an image of each size into ``tree``; return what a demonstration says of each.

    Args:
        tree: the folder of the images.
        sizes: (width, height) of each.
        box: an image's number → its box.
        label: an image's number → the box's label.
    """
    turns = []
    for number, (width, height) in enumerate(sizes):
        picture = Image.new("RGB", (width, height), "white")
        ImageDraw.Draw(picture).rectangle(tuple(box(number)), fill="red")
        picture.save(tree / f"{number}.png")
        item = {"bbox_2d": [*box(number)], "label": label(number)}
        turns.append(
            {
                "instance_id": f"object/{number}",
                "image": f"{number}.png",
                "width": width,
                "height": height,
                "prompt": prompts.query("object", "Which parts are needed for this step?"),
                "response": json.dumps([item]),
            }
        )
    return turns


def conversations(turns: Sequence[dict], shown: Sequence[Sequence[dict]]) -> list[dict[str, Any]]:
    """Return a conversation of each turn, with the turns that it is shown before."""
    return [FACTS | t | {"demonstrations": [*d]} for t, d in zip(turns, shown, strict=True)]
