"""A file of any trainer's predictions → the frame that their boxes are in."""

from pathlib import Path

from legor1.core.boxes import PixelBudget, Size
from legor1.core.errors import UserError
from legor1.core.files import stream_jsonl
from legor1.core.images import open_image
from legor1.tasks.metrics.box_frame import Image, diagnose_frame
from legor1.tasks.parsing import parse_objects
from legor1.tasks.task import Row

SAID = ("completion", "prediction")  # the model's own text comes first, before it was converted
SIDES = ("width", "height")


def diagnose(predictions: Path, tree: Path | None, budget: PixelBudget) -> Row:
    """Return what ``diagnose_frame`` makes of a file of predictions, and how many were left out.

    A line has ``image``, a path below ``tree``; ``prediction``, the model's text, or
    ``completion`` as predictions of this project have it; and ``reference``, the true boxes in
    pixels of the original image. ``width`` and ``height`` of the image may stand there too, and
    ``processed_width`` and ``processed_height`` of what the model saw; else the image is opened,
    and the ``budget`` decides. Lines whose reference has no boxes are passed over.

    Raises:
        UserError: a line is not as it should be, or none has boxes.
    """
    images: list[Image | None] = []
    for number, row in stream_jsonl(predictions):
        try:
            images.append(_image(row, tree, budget))
        except ValueError as error:
            raise UserError(
                f"{predictions}, line {number}: {error}. Remedy: mend the line."
            ) from error
    diagnosis = diagnose_frame(filter(None, images))
    if diagnosis is None:
        raise UserError(
            f"{predictions} has no line whose reference is a list of boxes. Remedy: give "
            'references such as [{"bbox_2d": [x1, y1, x2, y2], "label": "…"}].'
        )
    return {"schema_version": 1, "passed_over": images.count(None), **diagnosis}


def _image(row: Row, tree: Path | None, budget: PixelBudget) -> Image | None:
    """Return a line's boxes and sizes, or None if its reference has no boxes."""
    said = next((row[name] for name in SAID if name in row), None)
    if not isinstance(said, str) or not isinstance(row.get("reference"), str):
        raise ValueError(f"{' or '.join(SAID)}, or reference, is not text")
    if not (true := parse_objects(row["reference"])):
        return None
    size = _size(row, SIDES) or _opened(row.get("image"), tree)
    seen = _size(row, tuple(f"processed_{side}" for side in SIDES)) or budget.processed_size(size)
    return Image(parse_objects(said) or [], true, size, seen, row.get("manual"))


def _size(row: Row, names: tuple[str, ...]) -> Size | None:
    """Return the size that a row has under these names, if it has one."""
    values = [row.get(name) for name in names]
    if values == [None, None]:
        return None
    width, height = values
    if type(width) is not int or type(height) is not int or min(width, height) < 1:
        raise ValueError(f"{' and '.join(names)} are not whole numbers above 0")
    return width, height


def _opened(name: object, tree: Path | None) -> Size:
    if not isinstance(name, str):
        raise ValueError("it has neither width and height nor the image to measure")
    if tree is None:
        raise ValueError(f"the size of {name} is not given; name the folder with --tree")
    return open_image(tree / name).size
