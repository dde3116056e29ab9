"""Hugging Face: a folder that ``datasets.load_dataset(folder)`` opens, one split a file.

Each split is a folder with metadata.jsonl and its images (an "imagefolder"). A row has the columns
``image``, ``instance_id``, ``task``, ``manual``, ``width``, ``height``, ``prompt``, ``response``
and, in the order shown, ``demonstration_images``, ``demonstration_prompts`` and
``demonstration_responses``. Boxes are as in the conversations. README.md names the splits.
"""

from pathlib import Path

from legor1.core.files import write_jsonl, write_text
from legor1.data.export.exported_images import Images, Row

SAME = ("instance_id", "task", "manual", "width", "height", "prompt", "response")


def write(sides: dict[str, list[Row]], images: Images, folder: Path) -> None:
    """Write one split a side into ``folder``.

    Raises:
        UserError: an image is not right.
    """
    for side, rows in sides.items():
        lines = (_line(row, images, side) for row in rows)
        write_jsonl(folder / side / "metadata.jsonl", lines)
    splits = "".join(f'  - split: {side}\n    path: "{side}/**"\n' for side in sides)
    card = f"---\nconfigs:\n- config_name: default\n  data_files:\n{splits}---\n"
    write_text(folder / "README.md", card + "\nExported by `legor1 export`.\n")


def _line(row: Row, images: Images, side: str) -> Row:
    """Return a line of metadata; the library makes an image of what ends in ``file_name``."""
    shown = row["demonstrations"]
    paths = [images.place(turn, f"{side}/images") for turn in [row, *shown]]
    names = [path.removeprefix(f"{side}/") for path in paths]
    return {
        "file_name": names[0],
        **{key: row[key] for key in SAME},
        "demonstration_images_file_names": names[1:],
        "demonstration_prompts": [turn["prompt"] for turn in shown],
        "demonstration_responses": [turn["response"] for turn in shown],
    }
