"""What an audit looks at, read once, and what it finds: a measure, its interval, the verdict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from legor1.core import files
from legor1.core.seeding import generator
from legor1.data.fingerprints import read_images
from legor1.data.instances import SIDES, Record, check_known, read_records
from legor1.data.lego_arta.steps import true_name
from legor1.evaluation import resampling
from legor1.tasks.metrics.binary import CELLS, balanced_accuracy
from legor1.tasks.prompts import VARIANTS

REQUIRED = ("instance_id", "task", "manual", "image", "prompt", "response", "demonstrations")
# An audit makes some twenty findings: at 95 % one of them would be a false alarm.
CONFIDENCE = 0.99
REPLICATES = 2000
SEED = 0

Statistic = Callable[[np.ndarray], np.ndarray]  # (..., k) sums → (...)
Finding = Record  # an entry of audit.json; of what could not be measured, the numbers are None


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


def share(
    defect: str,
    variant: str | None,
    measured: str,
    rows: Sequence[Record],
    flag: Callable[[Record], float],
    *,
    chance: float | None = None,
) -> Finding:
    """Return a finding whose value is the mean of ``flag`` over ``rows``, each with its manual.

    Args:
        variant: of the conversations; None where both are the same in this.
        chance: without the defect, the mean; the verdict is whether the interval leaves it. None:
            no case should be, and one is enough.
    """
    manuals = [row["manual"] for row in rows]
    features = np.array([[flag(row), 1] for row in rows], dtype=float).reshape(-1, 2)
    facts = {"defect": defect, "variant": variant, "measured": measured}
    finding = _finding(facts, features, manuals, lambda s: s[..., 0] / s[..., 1], chance or 0.0)
    if chance is None and finding["value"] is not None:
        finding["verdict"] = "found" if finding["value"] > 0 else "none"
    return finding


def accuracy(
    defect: str, measured: str, confusions: Sequence[Sequence[int]], manuals: Sequence[str]
) -> Finding:
    """Return a finding whose value is a balanced accuracy, from (TP, FP, FN, TN) a case.

    No case means that it could not be measured; less than chance is no defect.
    """
    features = np.array(confusions, dtype=float).reshape(-1, 4)

    def statistic(sums: np.ndarray) -> np.ndarray:
        return balanced_accuracy(dict(zip(CELLS, np.moveaxis(sums, -1, 0), strict=True)))

    facts = {"defect": defect, "variant": None, "measured": measured}
    finding = _finding(facts, features, manuals, statistic, 0.5)
    if finding["low"] is not None and finding["low"] <= 0.5:
        finding["verdict"] = "none"
    return finding


def _finding(
    facts: Finding,
    features: np.ndarray,
    manuals: Sequence[str],
    statistic: Statistic,
    chance: float,
) -> Finding:
    """Return a finding whose verdict is whether the interval leaves ``chance``."""
    finding = facts | dict.fromkeys(("value", "low", "high", "chance"))
    finding |= {"n": len(features), "manuals": len(set(manuals)), "verdict": "not measured"}
    if not len(features):
        return finding
    rng = generator(SEED, "audit", " ".join(map(str, facts.values())))
    sums = resampling.cluster_sums(features, manuals)
    ends = resampling.percentile(statistic(resampling.resampled(sums, REPLICATES, rng)), CONFIDENCE)
    low, high = (None if np.isnan(end) else end for end in ends)
    inside = low is None or high is None or low <= chance <= high
    value = float(statistic(features.sum(axis=0)))
    found = {"value": value, "low": low, "high": high, "chance": chance}
    return finding | found | {"verdict": "none" if inside else "found"}
