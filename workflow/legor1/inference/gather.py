"""Merging the shards of an experiment's predictions."""

from operator import itemgetter
from pathlib import Path

from legor1.core.files import read_jsonl, write_jsonl


def gather(shards: list[Path], out: Path) -> int:
    """Write the predictions of all shards to ``out``, sorted by id; return how many."""
    rows = [row for shard in shards for row in read_jsonl(shard, ["instance_id", "prediction"])]
    return write_jsonl(out, sorted(rows, key=itemgetter("instance_id")))
