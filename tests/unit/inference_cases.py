"""Conversations of unequal lengths and images, and the recipe that answers them."""

from pathlib import Path
from typing import Any

from drawn_rows import conversations, draw_turns

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
    turns = draw_turns(tree, SIZES, box=lambda number: (30 + 20 * number, 40, 200, 130))
    return conversations(turns, [[], turns[:1], [], [turns[1], turns[0]], turns[2:3]])
