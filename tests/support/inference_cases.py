"""Conversations of unequal lengths and images, and the recipe that answers them."""

import json
import shutil
from pathlib import Path
from typing import Any

from drawn_rows import conversations, draw_turns

from legor1.core.files import write_json
from legor1.planning.preflight import TINY_BASE
from legor1.tasks.prompts import query

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
    "repetition_penalty": 1.05,
}
SIZES = [(480, 360), (360, 480), (420, 420), (270, 150), (480, 360)]

# Qwen2.5-VL's own settings, in the tiny vocabulary: what pads a prompt is an end token, too.
ENDS = json.loads((TINY_BASE / "generation_config.json").read_text())
QWEN = {
    "bos_token_id": ENDS["pad_token_id"],
    "pad_token_id": ENDS["pad_token_id"],
    "eos_token_id": [ENDS["eos_token_id"], ENDS["pad_token_id"]],
    "do_sample": True,
    "repetition_penalty": 1.05,
    "temperature": 1e-6,
}
HOSTILE = QWEN | {
    "repetition_penalty": 2.0,
    "temperature": 3.0,
    "top_k": 3,
    "top_p": 0.5,
    "min_p": 0.1,
    "no_repeat_ngram_size": 2,
    "min_new_tokens": 20,
    "suppress_tokens": [*range(10, 60)],
    "bad_words_ids": [[60], [61, 62]],
    "forced_eos_token_id": 70,
    "exponential_decay_length_penalty": [2, 1.5],
    "num_return_sequences": 2,
    "use_cache": False,
}


def base_with(settings: dict[str, Any], folder: Path) -> Path:
    """Return ``folder`` with the tiny base in it, whose generation_config.json is ``settings``."""
    shutil.copytree(TINY_BASE, folder)
    write_json(folder / "generation_config.json", settings)
    return folder


def draw_rows(tree: Path) -> list[dict[str, Any]]:
    """Return conversations whose images are drawn into ``tree``; two of them are shown twice."""
    turns = draw_turns(tree, SIZES, box=lambda number: (30 + 20 * number, 40, 200, 130))
    return conversations(turns, [[], turns[:1], [], [turns[1], turns[0]], turns[2:3]])


def draw_mixed_rows(tree: Path) -> list[dict[str, Any]]:
    """Return the same and a question about each image that a word answers, so that it ends soon."""
    rows = draw_rows(tree)
    asked = {"task": "state", "prompt": query("state", "Is the step done?")}
    return rows + [row | asked | {"instance_id": f"state/{at}"} for at, row in enumerate(rows)]
