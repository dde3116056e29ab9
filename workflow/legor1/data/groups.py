"""Manuals that show the same picture are one group: a split must not part them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from legor1.data.images import Lookalikes

Record = dict[str, Any]


class Groups(NamedTuple):
    """Which manuals belong together, and why.

    Attributes:
        of: manual → the first manual of its group.
        links: the pairs of images that joined two groups: ``by`` ``content`` or ``perceptual``,
            ``images``, and the number of ``bits`` in which their perceptual hashes differ.
    """

    of: dict[str, str]
    links: list[dict[str, Any]]

    def joined(self) -> list[list[str]]:
        """Return the groups of more than one manual, sorted."""
        members: dict[str, list[str]] = {}
        for manual, first in sorted(self.of.items()):
            members.setdefault(first, []).append(manual)
        return [group for group in members.values() if len(group) > 1]


def group(manual_of: dict[str, str], images: Sequence[Record]) -> Groups:
    """Return the groups of manuals.

    Args:
        manual_of: image → manual, of all instances.
        images: rows of images.parquet for these images; none if only manuals are looked at.
    """
    from scipy.cluster.hierarchy import DisjointSet

    sets, links = DisjointSet(manual_of.values()), []

    def join(by: str, first: str, second: str, bits: int = 0) -> None:
        if sets.merge(manual_of[first], manual_of[second]):
            links.append({"by": by, "images": sorted((first, second)), "bits": bits})

    for by, column in (("content", "sha256"), ("perceptual", "perceptual_hash")):
        first: dict[str, str] = {}  # fingerprint → the first image that has it
        for row in images:
            if row[column]:
                join(by, first.setdefault(row[column], row["image"]), row["image"])
    near = Lookalikes(first)
    pairs = [(bits, a, b) for a in first for b, bits in near.of(a).items() if a < b]
    for bits, a, b in sorted(pairs):
        join("perceptual", first[a], first[b], bits)
    return Groups({one: min(alike) for alike in sets.subsets() for one in alike}, links)
