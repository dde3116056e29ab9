"""Detection data: COCO's JSON, and YOLO's folders of text files. An image is one example."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from legor1.core.boxes import as_json
from legor1.core.errors import UserError
from legor1.core.files import Rejected
from legor1.data.formats.example import OBJECT, Example, Images, Labelled, Options, Unread

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".JPG", ".JPEG", ".PNG")


def coco(root: Path, path: Path, images: Images, options: Options) -> Iterator[Example | Unread]:
    """Yield the images of a COCO file that have boxes, in its order, crowds left out.

    A UserError says that the file is not COCO's.
    """
    file = path.relative_to(root).as_posix()
    objects: dict[Any, list[Labelled]] = defaultdict(list)
    broken = set()
    try:
        content = json.loads(path.read_bytes())
        labels = {category["id"]: str(category["name"]) for category in content["categories"]}
        for annotation in content["annotations"]:
            if annotation.get("iscrowd"):
                continue
            try:
                x, y, width, height = map(float, annotation["bbox"])
                box = (x, y, x + width, y + height)
                objects[annotation["image_id"]].append((box, labels[annotation["category_id"]]))
            except (KeyError, TypeError, ValueError):
                broken.add(annotation.get("image_id"))
        listing = [
            (image["id"], str(image["file_name"]), image.get("width"), image.get("height"))
            for image in content["images"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path} is not COCO's detection format: {error!r}. Remedy: give files with images, "
            "annotations and categories, or leave this one out of dataset.coco.files."
        ) from error
    for position, (number, name, width, height) in enumerate(listing, 1):
        image, size = images.find(name, file), (width, height) if width and height else None
        if number in broken:
            yield Unread(file, position, Rejected("annotation without bbox or category"), image)
        elif number in objects:
            answer = as_json(*zip(*objects[number], strict=True))
            yield Example(
                file, position, image, options["question"], answer, task=OBJECT, size=size
            )


def yolo(root: Path, path: Path, images: Images, options: Options) -> Iterator[Example | Unread]:
    """Yield the images whose boxes stand in ``labels``, as the data.yaml at ``path`` names classes.

    The image has the label file's path with ``images`` in place of ``labels``. A UserError says
    that the file names no classes.
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
        image = images.find(stem, file, SUFFIXES)
        try:
            lines = text.read_text("utf-8").splitlines()
            objects = [_labelled(line, labels) for line in lines if line.strip()]
        except (ValueError, KeyError):
            yield Unread(file, 1, Rejected("line that is no class and box"), image)
            continue
        if objects:
            answer = as_json(*zip(*objects, strict=True))
            yield Example(file, 1, image, options["question"], answer, "fractions", OBJECT)


def _labelled(line: str, labels: dict[int, str]) -> Labelled:
    """Read a class and a box (its centre, width and height) or an outline, all in [0, 1]."""
    number, *sides = line.split()
    values = [float(side) for side in sides]
    if len(values) > 5 and len(values) % 2 == 0:  # an outline, of segmentation
        corners = [extreme(values[axis::2]) for extreme in (min, max) for axis in (0, 1)]
    else:
        x, y, width, height, *_ = values  # a detector adds its confidence
        corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    return tuple(round(corner, 9) for corner in corners), str(labels[int(number)])
