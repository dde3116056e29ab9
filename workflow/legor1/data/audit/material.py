"""What an audit looks at, read once."""

from dataclasses import dataclass
from pathlib import Path

from legor1.core import files
from legor1.data.fingerprints import read_images
from legor1.data.instances import Record, check_known, read_records
from legor1.data.lego_arta.steps import true_name
from legor1.tasks.prompts import VARIANTS

SIDES = ("train", "test")
REQUIRED = ("instance_id", "task", "manual", "image", "prompt", "response", "demonstrations")


@dataclass(frozen=True)
class Material:
    """A dataset under one protocol."""

    rows: dict[str, Record]  # of instances.parquet, by instance id
    split: dict[str, list[str]]  # side → instance ids
    conversations: dict[str, dict[str, list[Record]]]  # variant → side → rows of the file
    tree: Path | None  # the dataset's folder, where it is at hand
    prints: dict[str, tuple[str, str]]  # image → SHA-256 and perceptual hash, where at hand

    def every(self, variant: str, *tasks: str) -> list[Record]:
        """Return the conversations of both sides, of these tasks (all if none is named)."""
        both = (row for side in SIDES for row in self.conversations[variant][side])
        return [row for row in both if not tasks or row["task"] in tasks]

    def shown(self, conversation: Record) -> list[Record]:
        """Return the rows that a conversation shows as demonstrations."""
        return [self.rows[turn["instance_id"]] for turn in conversation["demonstrations"]]

    def content(self, image: str) -> str:
        """Return what two images share if they are the same: their bytes' hash, else their path."""
        return self.prints[image][0] if image in self.prints else image


def read(
    instances: Path, split: Path, conversations: Path, tree: Path | None, images: Path | None
) -> Material:
    """Read all that an audit looks at; a UserError names files that do not belong together."""
    rows = {row["instance_id"]: row for row in read_records(instances)}
    sides = files.read_json(split)
    check_known((name for side in SIDES for name in sides[side]), rows, split, "split")
    folder = Path(conversations)
    by_variant = {
        variant: {side: _conversations(folder / variant / f"{side}.jsonl", rows) for side in SIDES}
        for variant in VARIANTS
    }
    prints = {
        row["image"]: (row["sha256"], row["perceptual_hash"])
        for row in (read_images(images) if images else ())
    }
    return Material(rows, sides, by_variant, tree, prints)


def step_of(image: str) -> str:
    """Return what the images of one step share: the true one's manual and name."""
    return true_name("/".join(image.rsplit("/", 3)[-3:]))


def _conversations(path: Path, rows: dict[str, Record]) -> list[Record]:
    conversations = files.read_jsonl(path, REQUIRED)
    turns = (turn for row in conversations for turn in (row, *row["demonstrations"]))
    check_known((turn["instance_id"] for turn in turns), rows, path, "convert")
    return conversations
