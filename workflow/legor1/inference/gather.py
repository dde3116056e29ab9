"""Merging the shards of an experiment's predictions."""

from itertools import pairwise
from pathlib import Path

from legor1.core.errors import UserError
from legor1.core.files import read_jsonl, write_jsonl


def gather(shards: list[Path], out: Path) -> int:
    """Write the predictions of all shards to ``out``, sorted by id; return how many.

    A UserError names an instance that was answered twice: the shards do not belong together.
    """
    rows = [row for shard in shards for row in read_jsonl(shard, ["instance_id", "prediction"])]
    rows.sort(key=lambda row: row["instance_id"])
    for first, second in pairwise(rows):
        if first["instance_id"] == second["instance_id"]:
            raise UserError(
                f"{first['instance_id']} was answered twice in {', '.join(map(str, shards))}. "
                "Remedy: delete the shards and run again."
            )
    return write_jsonl(out, rows)
