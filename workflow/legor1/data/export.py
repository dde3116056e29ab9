"""``legor1 export``: conversations and their images in the format of another program.

The folder appears whole or not at all. An image that shows every reader the same pixels is linked
(so it takes no space, and is not to be edited), or copied where links cannot be made. Any other,
which one reader would turn upright and another not, is written anew as the model sees it.
"""

import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from legor1.core.boxes import PERCENT, PixelBudget, Size, rescale, rescale_text, taken_out
from legor1.core.errors import UserError
from legor1.core.files import (
    LEAVES,
    Rejected,
    atomic_folder,
    locate,
    open_below,
    read_jsonl,
    write_json,
    write_jsonl,
    write_text,
)
from legor1.core.images import decode, open_image
from legor1.data.instances import Record
from legor1.tasks.discovery import of_kind
from legor1.tasks.parsing import Detection, parse_objects

MARKER = ".export.json"  # tells an export, which a new one may replace, from a folder of the user's
# Qwen2.5-VL's own processor does not resize images with a number of pixels between these.
LEAST, MOST = 3136, 12845056
TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user"}
ENTRY = {  # of a file in LLaMA-Factory's dataset_info.json
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "images": "images"},
    "tags": TAGS | {"assistant_tag": "assistant"},
}
COPIED = ("instance_id", "task", "manual", "width", "height", "prompt", "response")

Sides = dict[str, list[Record]]  # a file's name without .jsonl → its conversations


class Images:
    """Puts images of a dataset tree into an export's folder, each once, resized to a ``budget``."""

    def __init__(self, tree: Path, folder: Path, budget: PixelBudget | None = None) -> None:
        self._tree, self.folder, self._budget = Path(tree).resolve(), Path(folder), budget
        self._known: dict[str, tuple[Size, bool]] = {}  # image → its size, and whether plain

    def below(self, side: str) -> "Images":
        """Return what puts images into the folder of a part."""
        return Images(self._tree, self.folder / side, self._budget)

    def place(self, turn: Record) -> str:
        """Put the image of a query or demonstration into the folder; return its posix path there.

        Its folder ``images`` stands for the tree. Resized images have one beside it; those written
        anew have one in it. A UserError names an image that is missing or of another size.
        """
        source, plain = self._checked(turn)
        target, name = self.size(turn), f"images/{turn['image']}"
        if resized := target != (turn["width"], turn["height"]):
            name = f"resized/{turn['image']}.png"
        elif not plain:
            name = f"images/decoded/{turn['image']}.png"
        path = self.folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            if plain and not resized:
                _link(source, path)
            else:
                _write(source, path, target)
        return name

    def size(self, turn: Record) -> Size:
        """Return (width, height) in pixels that the turn's image has in the export."""
        size = turn["width"], turn["height"]
        return self._budget.processed_size(size) if self._budget else size

    def _checked(self, turn: Record) -> tuple[Path, bool]:
        name, size = turn["image"], (turn["width"], turn["height"])
        try:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise Rejected(LEAVES)
            source = locate(self._tree, name)
            if name not in self._known:
                with open_below(self._tree, name) as file:
                    image, plain = decode(file)
                self._known[name] = image.size, plain
        except Rejected as error:
            raise _refused(turn, f"{name!r} in {self._tree}: {error}") from error
        actual, plain = self._known[name]
        if actual != size:
            raise _refused(
                turn, f"{name} has {actual} pixels, not {size}, so its boxes are of another image"
            )
        return source, plain


def _refused(turn: Record, why: str) -> UserError:
    remedy = "Remedy: give the tree that the conversations were made from."
    return UserError(f"{turn['instance_id']}: {why}. {remedy}")


def _link(source: Path, path: Path) -> None:
    try:
        os.link(source, path)  # which takes no space
    except OSError:
        shutil.copyfile(source, path)


def _write(source: Path, path: Path, size: Size) -> None:
    from PIL import Image

    image = open_image(source)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    image.save(path, format="PNG")


def write_export(
    conversations: Sequence[Path],
    tree: Path,
    out: Path,
    format: str,
    budget: PixelBudget | None = None,
) -> dict[str, int]:
    """Write the export and return how many rows each file of conversations had.

    The name of each file of ``conversations`` names its part, and ``tree`` is the one that they
    were made from. Those of ``RESIZED`` alone take a ``budget``. A UserError names the file,
    row, image or argument that cannot be used.
    """
    if budget and format not in RESIZED:
        raise UserError(
            f"{format} keeps the original images. "
            f"Remedy: give --max-pixels for one of {', '.join(RESIZED)}."
        )
    if budget and not LEAST <= budget.min_pixels <= budget.max_pixels <= MOST:
        raise UserError(
            f"Qwen2.5-VL's processor resizes images outside {LEAST} to {MOST} pixels again, so the "
            "boxes would be off. Remedy: keep --min-pixels <= --max-pixels within these."
        )
    sides = _read(conversations)
    counts = {side: len(rows) for side, rows in sides.items()}
    try:
        with atomic_folder(out.absolute(), MARKER) as folder:
            if format == "coco":
                _write_coco(sides, Images(tree, folder))
            else:
                _write_lines(sides, Images(tree, folder, budget), format)
            write_json(folder / MARKER, {"schema_version": 1, "format": format, "rows": counts})
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error}. Remedy: free space there.") from error
    return counts


def _read(conversations: Sequence[Path]) -> Sides:
    sides: Sides = {}
    for path in map(Path, conversations):
        if path.stem in sides or not re.fullmatch(r"[A-Za-z0-9_]+", path.stem):
            raise UserError(
                f"{path}: its name cannot name a part of the export. Remedy: give each file "
                "another name of letters, digits and _, such as train.jsonl and test.jsonl."
            )
        sides[path.stem] = read_jsonl(path, (*COPIED, "image", "demonstrations"))
    return sides


def _write_lines(sides: Sides, images: Images, format: str) -> None:
    """Write each part as a file of lines, or as a split: a folder of one and of its images.

    A README.md names the splits to ``datasets``, and dataset_info.json the files to LLaMA-Factory.
    """
    folder, line = images.folder, LINES[format]
    for side, rows in sides.items():
        place, name = (images.below(side), "metadata") if format in SPLITS else (images, side)
        lines = (line(row, place) for row in rows)
        write_jsonl(place.folder / f"{name}.jsonl", lines)
    if format in SPLITS:
        splits = "".join(f'  - split: {side}\n    path: "{side}/**"\n' for side in sides)
        head = f"---\nconfigs:\n- config_name: default\n  data_files:\n{splits}---\n"
        write_text(folder / "README.md", f"{head}\nExported by `legor1 export`.\n")
    elif format == "llamafactory":
        entries = {f"legor1_{side}": {"file_name": f"{side}.jsonl"} | ENTRY for side in sides}
        write_json(folder / "dataset_info.json", entries)


def llamafactory(row: Record, images: Images) -> Record:
    """Return a row as sharegpt, with ``<image>`` placeholders.

    LLaMA-Factory resizes an image by a rule of its own (``image_max_pixels``), then Qwen2.5-VL's
    processor by another, and no box in the text follows. With a pixel budget, images are therefore
    exported at the size that the processor makes of them, with boxes in their pixels: neither
    resizes them again as long as ``image_max_pixels`` is no less than the budget. Without one,
    images and boxes are the original ones.

    Demonstrations are earlier turns; ``mask_history: true`` keeps their answers out of the loss.
    """
    turns = [*row["demonstrations"], row]
    messages, paths = [], [images.place(turn) for turn in turns]
    for turn in turns:
        messages.append({"role": "user", "content": "<image>" + turn["prompt"]})
        messages.append({"role": "assistant", "content": _answer(turn, row, images)})
    return {"messages": messages, "images": paths}


def _answer(turn: Record, row: Record, images: Images) -> str:
    """Return a turn's answer, boxes in pixels of the exported image unless the row has others."""
    answer: str = turn["file_response" if "file_response" in turn else "response"]
    if row.get("box_frame", "processed") != "processed":
        return answer
    return rescale_text(answer, (turn["width"], turn["height"]), images.size(turn))


def trl(row: Record, images: Images) -> Record:
    """Return a row of what ``trl sft --dataset_name`` trains on: prompt, completion and images.

    The turns say by parts where each image stands: of plain text, TRL puts all of them before the
    first. Demonstrations are in the prompt, so that their answers carry no loss.
    """
    example, shown = llamafactory(row, images), {"type": "image", "text": None}
    for message in example["messages"]:
        text, asks = message["content"], message["role"] == "user"
        said = {"type": "text", "text": text.removeprefix("<image>") if asks else text}
        message["content"] = [shown, said] if asks else [said]
    return {
        "images_file_names": example["images"],
        "prompt": example["messages"][:-1],
        "completion": example["messages"][-1:],
        "instance_id": row["instance_id"],
    }


def swift(row: Record, images: Images) -> Record:
    """Return a row as ms-swift has it: messages, images, and each box as an object.

    Boxes are ``<bbox>`` in the text and pixels of the image beside it, which ms-swift puts into the
    frame of whatever model it trains. ``solution`` is for rewards.
    """
    example, boxes, shown = llamafactory(row, images), [], []
    for number, message in enumerate(example["messages"]):
        message["content"], found = taken_out(message["content"], "<bbox>")
        boxes += found
        shown += [number // 2] * len(found)
    if boxes:
        example["objects"] = {"ref": [], "bbox": boxes, "image_id": shown}
    return example | {"instance_id": row["instance_id"], "solution": _answer(row, row, images)}


def vlm_r1(row: Record, images: Images) -> Record:
    """Return a row as VLM-R1 has it: one image, question and answer, and no demonstrations."""
    said = [("human", "<image>" + row["prompt"]), ("gpt", _answer(row, row, images))]
    turns = [{"from": who, "value": text} for who, text in said]
    return {"id": row["instance_id"], "image": images.place(row), "conversations": turns}


def huggingface(row: Record, images: Images) -> Record:
    """Return a row of an "imagefolder", a split of what ``datasets.load_dataset(folder)`` opens.

    It has the columns ``image``, those in ``COPIED`` and, in the order shown,
    ``demonstration_images``, ``demonstration_prompts`` and ``demonstration_responses``. The library
    makes an image of what ends in ``file_name``. Boxes are as in the conversations.
    """
    shown = row["demonstrations"]
    names = [images.place(turn) for turn in [row, *shown]]
    return {
        "file_name": names[0],
        **{key: row[key] for key in COPIED},
        "demonstration_images_file_names": names[1:],
        "demonstration_prompts": [turn["prompt"] for turn in shown],
        "demonstration_responses": [turn["response"] for turn in shown],
    }


def _write_coco(sides: Sides, images: Images) -> None:
    """Write the object queries as COCO detection JSON, which pycocotools loads.

    Each annotations/SIDE.json has the same categories: the labels as they stand ("2 red 1x2
    plate"), numbered from 1 in their order. A ``bbox`` is [left, top, width, height] in pixels of
    the original image. Other tasks have no boxes and are left out, demonstrations too.
    """
    truths = {
        side: [(row, _truth(row)) for row in rows if row["task"] in of_kind("boxes")]
        for side, rows in sides.items()
    }
    labels = {box.label for rows in truths.values() for _, boxes in rows for box in boxes}
    if not labels:
        raise UserError(
            f"{', '.join(sides)}: no object query, so there are no boxes. "
            "Remedy: give conversations of the object task."
        )
    categories = {label: number for number, label in enumerate(sorted(labels), 1)}
    for side, rows in truths.items():
        shown: list[Record] = []
        annotations: list[Record] = []
        for number, (row, boxes) in enumerate(rows, 1):
            image = {"id": number, "file_name": images.place(row).removeprefix("images/")}
            shown.append(image | {key: row[key] for key in ("width", "height", "instance_id")})
            for x1, y1, x2, y2, label in ((*true.box, true.label) for true in boxes):
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": categories[label],
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "area": (x2 - x1) * (y2 - y1),
                        "iscrowd": 0,
                    }
                )
        content = {
            "info": {"description": f"LEGO-ARTA, object task, {side}", "version": "1"},
            "images": shown,
            "annotations": annotations,
            "categories": [{"id": n, "name": label} for label, n in categories.items()],
        }
        write_json(images.folder / "annotations" / f"{side}.json", content)


def _truth(row: Record) -> list[Detection]:
    """Return the true objects, boxes in pixels of the original image."""
    if (truth := parse_objects(row["response"])) is None:
        raise UserError(
            f"{row['instance_id']}: its response holds no boxes: {row['response'][:80]!r}. "
            "Remedy: make the conversations again by 'legor1 convert'."
        )
    if row.get("box_frame") != "percent":
        return truth
    size = row["width"], row["height"]
    return [Detection(rescale(true.box, PERCENT, size), true.label) for true in truth]


LINES: dict[str, Callable[[Record, Images], Record]] = {
    "llamafactory": llamafactory,
    "trl": trl,
    "ms-swift": swift,
    "vlm-r1": vlm_r1,
    "huggingface": huggingface,
}
FORMATS = (*LINES, "coco")
SPLITS = ("trl", "huggingface")  # whose readers open a folder, each part in a folder of its own
RESIZED = ("llamafactory", "trl", "vlm-r1")  # whose readers take a box's numbers as they stand
