"""The test set that all variants of an ablation have in common, so that every difference is paired.

It has the instances that every protocol tests and asks about. How they are asked differs.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from legor1.core import files
from legor1.core.errors import UserError
from legor1.core.files import read_jsonl
from legor1.core.seeding import rank
from legor1.data.instances import Record

FACTS = ("instance_id", "task", "manual")


def draw(available: Mapping[str, str], rows: int | None, seed: int) -> list[str]:
    """Return at most ``rows`` ids, all if None, sorted; ``available`` is id → task.

    Tasks get the same number as far as they have so many. Within a task the lowest ranks are drawn,
    so more rows keep those of fewer.
    """
    if rows is None or rows >= len(available):
        return sorted(available)
    of: dict[str, list[str]] = {}
    for name in sorted(available, key=lambda name: rank(seed, "common test", name)):
        of.setdefault(available[name], []).append(name)
    chosen: list[str] = []
    by_size = sorted(of.values(), key=len)
    for place, names in enumerate(by_size):
        chosen += names[: (rows - len(chosen)) // (len(by_size) - place)]
    return sorted(chosen)


def write_common(tests: Sequence[Path], rows: int | None, seed: int, out: Path) -> dict[str, int]:
    """Write what several ``test.jsonl`` have in common; return how many rows of each task.

    A UserError says that they have nothing in common.
    """
    asked = [
        {row["instance_id"]: {name: row[name] for name in FACTS} for row in read_jsonl(path, FACTS)}
        for path in tests
    ]
    common: dict[str, Record] = {
        name: row for name, row in asked[0].items() if all(name in other for other in asked)
    }
    if not common:
        raise UserError(
            f"{', '.join(map(str, tests))} have no test row in common. Remedy: raise "
            "prepare.test_fraction, or leave row_split out of the ablation."
        )
    chosen = draw({name: row["task"] for name, row in common.items()}, rows, seed)
    tasks = Counter(common[name]["task"] for name in chosen)
    content = {
        "schema_version": 1,
        "seed": seed,
        "test_rows": rows,
        "available": dict(sorted(Counter(row["task"] for row in common.values()).items())),
        "tasks": dict(sorted(tasks.items())),
        "manuals": len({common[name]["manual"] for name in chosen}),
        "instances": chosen,
    }
    files.write_json(out, content)
    return {"rows": len(chosen), "of": len(common), **dict(sorted(tasks.items()))}


def write_rows(conversations: Path, common: Path, out: Path) -> dict[str, int]:
    """Write the conversations about the instances of ``common``, in its order.

    A UserError names an instance that is missing.
    """
    rows = {row["instance_id"]: row for row in read_jsonl(conversations, FACTS)}
    wanted: list[str] = files.read_json(common)["instances"]
    for name in wanted:
        if name not in rows:
            raise UserError(
                f"{conversations} does not ask about {name}, which {common} has. "
                "Remedy: make the common test set again, of this file as well."
            )
    return {"rows": files.write_jsonl(out, [rows[name] for name in wanted])}
