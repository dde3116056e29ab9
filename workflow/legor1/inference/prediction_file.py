"""Predictions: a line of JSON for each test conversation, and the merging of shards of them."""

from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from legor1.core.boxes import PixelBudget
from legor1.core.files import read_jsonl, write_jsonl

FACTS = ("instance_id", "task", "manual", "image", "width", "height")  # of a conversation


def describe(
    row: Mapping[str, Any], budget: PixelBudget, completion: str, prediction: str
) -> dict[str, Any]:
    """Return the line of a conversation's answer, wherever it was made.

    ``completion`` is the answer as it stands, ``prediction`` the same with its boxes in pixels of
    the original image, ``budget`` that of the model.
    """
    width, height = budget.processed_size((row["width"], row["height"]))
    return {
        "schema_version": 1,
        **{name: row[name] for name in FACTS},
        "processed_width": width,
        "processed_height": height,
        "box_frame": row["box_frame"],
        "variant": row["variant"],
        "completion": completion,
        "prediction": prediction,
        "reference": row["response"],
        **({"file_reference": row["file_response"]} if "file_response" in row else {}),
    }


def gather(shards: list[Path], out: Path) -> int:
    """Write the predictions of all shards to ``out``, sorted by id; return how many."""
    rows = [row for shard in shards for row in read_jsonl(shard, ["instance_id", "prediction"])]
    return write_jsonl(out, sorted(rows, key=itemgetter("instance_id")))
