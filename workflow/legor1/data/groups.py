"""Manuals that show the same picture are one group: a split must not part them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from legor1.data.images import Lookalikes

Record = dict[str, Any]


@dataclass
class Groups:
    """Which manuals belong together, and why.

    Attributes:
        of: manual → the first manual of its group.
        links: the pairs of images that joined two groups: ``by`` ``content`` or ``perceptual``,
            ``images``, and the number of ``bits`` in which their perceptual hashes differ.
    """

    of: dict[str, str]
    links: list[dict[str, Any]] = field(default_factory=list)

    def find(self, manual: str) -> str:
        """Return the first manual of the group that ``manual`` is in."""
        while self.of[manual] != manual:
            self.of[manual] = manual = self.of[self.of[manual]]
        return manual

    def join(self, first: str, second: str, link: dict[str, Any]) -> None:
        """Make the groups of two manuals one, if they are not, and keep the reason."""
        low, high = sorted((self.find(first), self.find(second)))
        if low != high:
            self.of[high] = low
            self.links.append(link)

    def joined(self) -> list[list[str]]:
        """Return the groups of more than one manual, sorted."""
        members: dict[str, list[str]] = {}
        for manual in sorted(self.of):
            members.setdefault(self.find(manual), []).append(manual)
        return [group for group in members.values() if len(group) > 1]


def group(manual_of: dict[str, str], images: Sequence[Record]) -> Groups:
    """Return the groups of manuals.

    Args:
        manual_of: image → manual, of all instances.
        images: rows of images.parquet for these images; none if only manuals are looked at.
    """
    groups = Groups({manual: manual for manual in sorted(set(manual_of.values()))})

    def join(by: str, first: str, second: str, bits: int = 0) -> None:
        link = {"by": by, "images": sorted((first, second)), "bits": bits}
        groups.join(manual_of[first], manual_of[second], link)

    for by, column in (("content", "sha256"), ("perceptual", "perceptual_hash")):
        first: dict[str, str] = {}  # fingerprint → the first image that has it
        for row in images:
            if row[column]:
                join(by, first.setdefault(row[column], row["image"]), row["image"])
    alike = Lookalikes(first)
    pairs = [(bits, a, b) for a in first for b, bits in alike.of(a).items() if a < b]
    for bits, a, b in sorted(pairs):
        join("perceptual", first[a], first[b], bits)
    return groups
