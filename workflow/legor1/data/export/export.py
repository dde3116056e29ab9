"""``legor1 export``: conversations and their images in the format of another program.

The folder appears whole or not at all. Images are further names of the tree's files where the file
system allows that (so they take no space, and are not to be edited), else copies.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from legor1.core.boxes import PixelBudget
from legor1.core.errors import UserError
from legor1.core.files import atomic_folder, read_jsonl, write_json
from legor1.data.export import coco, huggingface, llamafactory
from legor1.data.export.exported_images import Images, Row, check_rows

FORMATS = {"llamafactory": llamafactory.write, "huggingface": huggingface.write, "coco": coco.write}
MARKER = ".export.json"  # tells an export, which a new one may replace, from a folder of the user's
REQUIRED = ("instance_id", "task", "manual", "demonstrations")


def write_export(
    conversations: Sequence[Path],
    tree: Path,
    out: Path,
    format: str,
    budget: PixelBudget | None = None,
) -> dict[str, int]:
    """Write the export and return how many rows each file of conversations had.

    Args:
        conversations: JSONL files of ``legor1 convert``; the name of each names its part.
        tree: the dataset tree that they were made from.
        out: the folder; an earlier export there is replaced.
        format: one of ``FORMATS``.
        budget: see ``llamafactory``, the only format that takes one.

    Raises:
        UserError: a file, row, image or argument that cannot be used.
    """
    if budget:
        if format != "llamafactory":
            raise UserError(
                f"{format} keeps the original images. Remedy: give --max-pixels for llamafactory."
            )
        llamafactory.check_budget(budget)
    sides = _read(conversations)
    counts = {side: len(rows) for side, rows in sides.items()}
    try:
        with atomic_folder(out.absolute(), MARKER) as folder:
            FORMATS[format](sides, Images(tree, folder, budget), folder)
            write_json(folder / MARKER, {"schema_version": 1, "format": format, "rows": counts})
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error}. Remedy: free space there.") from error
    return counts


def _read(conversations: Sequence[Path]) -> dict[str, list[Row]]:
    sides: dict[str, list[Row]] = {}
    for path in map(Path, conversations):
        if path.stem in sides or not re.fullmatch(r"[A-Za-z0-9_]+", path.stem):
            raise UserError(
                f"{path}: its name cannot name a part of the export. Remedy: give each file "
                "another name of letters, digits and _, such as train.jsonl and test.jsonl."
            )
        sides[path.stem] = read_jsonl(path, REQUIRED)
        check_rows(sides[path.stem], path)
    return sides
