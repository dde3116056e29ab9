"""Which instances are trained on and which are tested on.

``thesis`` splits by row: 25 % of each task at random, a falsified state with its true image (by the
path from the manual on). The thesis's own random generator is not known, so its exact rows cannot
be reproduced. ``sound`` splits by whole manuals; those that show the same picture stay together.

Every choice is by seeded rank: a row or group has its place in the random order whatever else there
is, and the first in this order are tested on. A new manual therefore moves few others.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from legor1.core import files
from legor1.core.errors import UserError
from legor1.core.seeding import rank
from legor1.data import fingerprints as pictures
from legor1.data.instances import Record
from legor1.data.lego_arta.steps import true_name
from legor1.published.defects import active
from legor1.tasks.discovery import of_kind

COLUMNS = ("instance_id", "task", "manual", "image", "falsified")  # what a split looks at


def split(
    instances: Sequence[Record],
    *,
    protocol: str = "sound",
    switches: Mapping[str, bool] | None = None,
    seed: int,
    test_fraction: float,
    images: Sequence[Record] | None = None,
) -> Record:
    """Return the content of split.json. Instances whose image is broken are on neither side.

    Args:
        instances: rows with the ``COLUMNS``.
        switches: exceptions to the protocol; ``row_split`` decides here: by row, or by manual.
        test_fraction: share of test rows, met as nearly as whole manuals allow in every task.
        images: rows of images.parquet, by which manuals that show the same picture are known.

    A UserError says that an image has no fingerprint, or that there is nothing to split.
    """
    problems = {row["image"]: row["problem"] for row in images or () if row["problem"]}
    left_out = [
        {"instance_id": row["instance_id"], "reason": problems[row["image"]]}
        for row in instances
        if row["image"] in problems
    ]
    instances = [row for row in instances if row["image"] not in problems]
    if "row_split" in active(protocol, switches):
        facts, test = {"rule": "rows"}, by_row(instances, seed, test_fraction)
    else:
        facts, test = _by_manual(instances, seed, test_fraction, images)
    head = {"schema_version": 3, "protocol": protocol, "seed": seed, "test_fraction": test_fraction}
    train = sorted(row["instance_id"] for row in instances if row["instance_id"] not in test)
    sides = {"tasks": _tasks(instances, test), "train": train, "test": sorted(test)}
    return head | {"left_out": left_out} | facts | sides


def by_row(instances: Iterable[Record], seed: int, fraction: float) -> set[str]:
    """Return the ids of test rows: of each task the same share, states by their true image."""
    units: dict[str, dict[str, list[str]]] = {}
    for row in instances:
        unit = row["instance_id"]
        if row["task"] in of_kind("yes_no"):
            name = row["image"].partition(f"/{row['manual']}/")[2]
            unit = f"{row['task']}/{row['manual']}/{true_name(name)}"
        units.setdefault(row["task"], {}).setdefault(unit, []).append(row["instance_id"])
    test: set[str] = set()
    for task, members in units.items():
        if len(members) < 2:
            raise UserError(
                f"Cannot split the {task} task, which has one row. "
                "Remedy: give a tree with at least two rows of it, or none."
            )
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        order = sorted(members, key=lambda unit: rank(seed, "split", unit))
        test.update(name for unit in order[:count] for name in members[unit])
    return test


def choose(counts: Mapping[str, Counter[str]], fraction: float, seed: int) -> set[str]:
    """Return which groups are tested on, at least one and not all.

    In the order of their ranks, each group is taken that brings the test share of the tasks nearer
    to ``fraction`` (least squares over tasks). ``counts`` is group → task → its number of rows.
    """
    totals = sum(counts.values(), Counter())
    missing = dict.fromkeys(totals, fraction)
    order = sorted(counts, key=lambda name: rank(seed, "split", name))
    tested: set[str] = set()
    for name in order:
        left = {task: missing[task] - counts[name][task] / totals[task] for task in totals}
        nearer = math.hypot(*left.values()) < math.hypot(*missing.values())
        if nearer and len(tested) < len(order) - 1:
            tested.add(name)
            missing = left
    return tested or {order[0]}


def write_split(split: Record, out: Path) -> Record:
    """Write split.json; return how many are on each side or left out, and what was compared."""
    files.write_json(out, split)
    counts = {side: len(split[side]) for side in ("train", "test", "left_out")}
    groups = split.get("groups", {})
    compared = {key: groups[key] for key in ("groups", "compared") if key in groups}
    return counts | compared


def group(
    manual_of: dict[str, str], images: Iterable[Record]
) -> tuple[list[list[str]], list[Record]]:
    """Return the groups of manuals, and the pairs of images that joined two groups.

    Of a pair it is known whether it is joined ``by`` ``content`` or ``perceptual``, its ``images``,
    and in how many ``bits`` their perceptual hashes differ.

    Args:
        manual_of: image → its manual.
        images: rows of images.parquet, or none to compare.
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
    near = pictures.Lookalikes(first)
    pairs = [(bits, a, b) for a in first for b, bits in near.of(a).items() if a < b]
    for bits, a, b in sorted(pairs):
        join("perceptual", first[a], first[b], bits)
    return sorted(map(sorted, sets.subsets())), links


def _by_manual(
    instances: Sequence[Record], seed: int, fraction: float, images: Sequence[Record] | None
) -> tuple[Record, set[str]]:
    manual_of = {row["image"]: row["manual"] for row in instances}
    if images is not None:
        images = _fingerprints_of(manual_of, images)
    groups, links = group(manual_of, images or ())
    if len(groups) < 2:
        raise _one_group(groups, links)
    first_of = {manual: alike[0] for alike in groups for manual in alike}
    counts: dict[str, Counter[str]] = {}
    for row in instances:
        counts.setdefault(first_of[row["manual"]], Counter())[row["task"]] += 1
    tested = choose(counts, fraction, seed)
    test = {row["instance_id"] for row in instances if first_of[row["manual"]] in tested}
    facts = {
        "compared": "manuals" if images is None else "manuals and images",
        "distance": None if images is None else pictures.DISTANCE,
        "manuals": len(first_of),
        "groups": len(groups),
        "joined": [alike for alike in groups if len(alike) > 1],
        "links": links,
    }
    return {"rule": "manuals", "groups": facts}, test


def _fingerprints_of(manual_of: Mapping[str, str], images: Sequence[Record]) -> list[Record]:
    known = {row["image"]: row for row in images}
    missing = sorted(manual_of.keys() - known.keys())
    if missing:
        raise UserError(
            f"{len(missing)} images have no fingerprint, such as {missing[0]}. "
            "Remedy: take the fingerprints of these instances with 'legor1 fingerprint'."
        )
    return [known[image] for image in sorted(manual_of)]


def _one_group(groups: list[list[str]], links: list[Record]) -> UserError:
    what = "one manual"
    if links:
        shown = " and ".join(links[0]["images"])
        what = f"{len(groups[0])} manuals that all show the same pictures, such as {shown}"
    return UserError(
        f"Cannot split {what}: whole manuals are trained or tested on. Remedy: give at least two "
        "manuals with pictures of their own, without those in common, such as a cover."
    )


def _tasks(instances: Iterable[Record], test: set[str]) -> dict[str, dict[str, int]]:
    """Return task → its number of train and of test rows."""
    counts = Counter((row["task"], row["instance_id"] in test) for row in instances)
    tasks = sorted({task for task, _ in counts})
    return {task: {"train": counts[task, False], "test": counts[task, True]} for task in tasks}
