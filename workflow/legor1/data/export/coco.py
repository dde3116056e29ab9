"""COCO detection JSON of the object queries, as pycocotools loads it.

A category is a label as it stands ("2 red 1x2 plate"), numbered from 1 in the order of the labels.
A ``bbox`` is [left, top, width, height] in pixels of the original image. Other tasks have no boxes
and are left out, demonstrations too.
"""

from collections.abc import Iterator
from pathlib import Path

from legor1.core.boxes import PERCENT, rescale
from legor1.core.errors import UserError
from legor1.core.files import write_json
from legor1.data.export.exported_images import Images, Row
from legor1.tasks.discovery import of_kind
from legor1.tasks.parsing import Detection, parse_objects


def write(sides: dict[str, list[Row]], images: Images, folder: Path) -> None:
    """Write annotations/SIDE.json for each side, all with the same categories, and the images.

    Raises:
        UserError: no object query, an answer without boxes, or an image that is not right.
    """
    kept = {
        side: [row for row in rows if row["task"] in of_kind("boxes")]
        for side, rows in sides.items()
    }
    truths = {side: [(row, _truth(row)) for row in rows] for side, rows in kept.items()}
    labels = {one.label for rows in truths.values() for _, found in rows for one in found}
    if not labels:
        raise UserError(
            f"{', '.join(sides)}: no object query, so there are no boxes. "
            "Remedy: give conversations of the object task."
        )
    categories = {label: number for number, label in enumerate(sorted(labels), 1)}
    for side, rows in truths.items():
        content = {
            "info": {"description": f"LEGO-ARTA, object task, {side}", "version": "1"},
            "images": _images(rows, images),
            "annotations": list(_annotations(rows, categories)),
            "categories": [{"id": n, "name": label} for label, n in categories.items()],
        }
        write_json(folder / "annotations" / f"{side}.json", content)


def _truth(row: Row) -> list[Detection]:
    """Return the true objects, boxes in pixels of the original image."""
    found = parse_objects(row["response"])
    if found is None:
        raise UserError(
            f"{row['instance_id']}: its response holds no boxes: {row['response'][:80]!r}. "
            "Remedy: make the conversations again by 'legor1 convert'."
        )
    if row.get("box_frame") != "percent":
        return found
    size = row["width"], row["height"]
    return [Detection(rescale(one.box, PERCENT, size), one.label) for one in found]


def _images(rows: list[tuple[Row, list[Detection]]], images: Images) -> list[Row]:
    return [
        {
            "id": number,
            "file_name": images.place(row).removeprefix("images/"),
            "width": row["width"],
            "height": row["height"],
            "instance_id": row["instance_id"],
        }
        for number, (row, _) in enumerate(rows, 1)
    ]


def _annotations(
    rows: list[tuple[Row, list[Detection]]], categories: dict[str, int]
) -> Iterator[Row]:
    truths = ((image, one) for image, (_, found) in enumerate(rows, 1) for one in found)
    for number, (image, one) in enumerate(truths, 1):
        x1, y1, x2, y2 = one.box
        yield {
            "id": number,
            "image_id": image,
            "category_id": categories[one.label],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": 0,
        }
