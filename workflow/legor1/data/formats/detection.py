"""Detection data: COCO's JSON, and YOLO's folders of text files. An image is one example."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from legor1.core.errors import UserError
from legor1.core.files import Rejected
from legor1.data.formats.example import OBJECT, Example, Labelled, Unread, listed

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def coco(root: Path, path: Path, question: str) -> Iterator[Example | Unread]:
    """Yield the images of a COCO file that have boxes, in its order, crowds left out.

    A ``file_name`` is below ``root``, below the file's folder, or anywhere below ``root``'s
    ``images``. A UserError says that the file is not COCO's.
    """
    file = path.relative_to(root).as_posix()
    try:
        content = json.loads(path.read_bytes())
        names = {one["id"]: str(one["name"]) for one in content["categories"]}
        objects: dict[Any, list[Labelled]] = defaultdict(list)
        broken: dict[Any, Rejected] = {}
        for one in content["annotations"]:
            if one.get("iscrowd"):
                continue
            try:
                x, y, width, height = map(float, one["bbox"])
                objects[one["image_id"]].append(
                    (names[one["category_id"]], (x, y, x + width, y + height))
                )
            except (KeyError, TypeError, ValueError):
                broken[one.get("image_id")] = Rejected("annotation without bbox or category")
        images = [(one["id"], str(one["file_name"])) for one in content["images"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path} is not COCO's detection format: {error!r}. Remedy: give files with images, "
            "annotations and categories, or leave this one out of dataset.coco.files."
        ) from error
    folders = [root, path.parent, root / "images", *sorted((root / "images").glob("*/"))]
    for position, (number, name) in enumerate(images, 1):
        found = next(
            (folder / name for folder in folders if (folder / name).is_file()), root / name
        )
        image = (
            Path(*found.parts[len(root.parts) :]).as_posix() if found.is_relative_to(root) else name
        )
        if number in broken:
            yield Unread(file, position, broken[number], image)
        elif objects[number]:
            yield Example(file, position, image, question, listed(objects[number]), task=OBJECT)


def yolo(root: Path, path: Path, question: str) -> Iterator[Example | Unread]:
    """Yield the images whose boxes stand in ``labels``, as the data.yaml at ``path`` names classes.

    Each line of a label file is a class and x centre, y centre, width and height in [0, 1]. The
    image has the same path with ``images`` in place of ``labels``. A UserError says that the file
    names no classes.
    """
    try:
        names = yaml.safe_load(path.read_text("utf-8"))["names"]
        labels = dict(names) if isinstance(names, dict) else dict(enumerate(names))
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UserError(
            f"{path} names no classes: {error!r}. Remedy: give YOLO's data.yaml, with `names`."
        ) from error
    for text in sorted(path.parent.rglob("labels/**/*.txt")):
        file = text.relative_to(root).as_posix()
        stem = "images".join(file.rsplit("labels", 1)).removesuffix(".txt")
        image = next(
            (stem + s for s in SUFFIXES if (root / (stem + s)).is_file()), stem + SUFFIXES[0]
        )
        try:
            objects = [
                _labelled(line, labels)
                for line in text.read_text("utf-8").splitlines()
                if line.strip()
            ]
        except (ValueError, KeyError):
            yield Unread(file, 1, Rejected("line that is no class and box"), image)
            continue
        if objects:
            yield Example(file, 1, image, question, listed(objects), "fractions", OBJECT)


def _labelled(line: str, labels: dict[int, str]) -> Labelled:
    number, *box = line.split()
    x, y, width, height = map(float, box[:4])
    corners = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return str(labels[int(number)]), tuple(round(corner, 9) for corner in corners)
