"""Conversations of unequal lengths and images, and the recipe that answers them."""

import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from legor1 import prompts

RECIPE = {
    "experiment": "few_shot",
    "device": "cpu",
    "precision": "float32",
    "attention": "sdpa",
    "threads": 1,
    "pixel_budget": {"min_pixels": 9408, "max_pixels": 15680},
    "demonstrations": True,
    "engine": "transformers",
    "batch_tokens": 2000,
    "batch_size": None,
    "max_new_tokens": 24,
}
SIZES = [(480, 360), (360, 480), (420, 420), (270, 150), (480, 360)]


def draw_rows(tree: Path) -> list[dict[str, Any]]:
    """Return conversations whose images are drawn into ``tree``; two of them are shown twice."""
    turns = []
    for number, (width, height) in enumerate(SIZES):
        picture = Image.new("RGB", (width, height), "white")
        corner = (30 + 20 * number, 40)
        ImageDraw.Draw(picture).rectangle((*corner, 200, 130), fill="red")
        picture.save(tree / f"{number}.png")
        item = {"bbox_2d": [*corner, 200, 130], "label": "1 red 2x4 brick"}
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
    shown = [[], [turns[0]], [], [turns[1], turns[0]], [turns[2]]]
    facts = {"schema_version": 1, "task": "object", "manual": "m", "variant": "plain"}
    facts |= {"box_frame": "processed"}
    return [facts | t | {"demonstrations": d} for t, d in zip(turns, shown, strict=True)]
