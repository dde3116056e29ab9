"""A tree in LEGO-ARTA's layout with the oddities of the real one, as files of a hub's repository.

The drawn tree has most of them; what real booklets have besides is put in here: printed pages
among the images, JPEG beside PNG, dialogues one folder deeper, the old file of objects beside the
new one, images without metadata, and instructions without an image.
"""

import json
from pathlib import Path

from PIL import Image

from legor1.data.synthetic.dataset import FILES, synthesize

MANUALS, STEPS, OBJECTS = 5, 3, 3
PAGE = (1654, 2339)  # A4 at 200 dots an inch
SIZES = (PAGE, (480, 360), (360, 480), (540, 300))


def draw(root: Path) -> dict[str, bytes]:
    """Draw the tree at ``root``; return its files by their paths in the repository."""
    synthesize(root, manuals=MANUALS, steps=STEPS, objects=OBJECTS, seed=11, image_sizes=SIZES)
    _move_deeper(root)
    for number in (2, 4):
        _photograph(root, f"lego-demo-{number:03d}")
    _forget(root, "lego-demo-003")
    _add_old_objects(root)
    paths = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def _texts(root: Path) -> list[Path]:
    return [*root.glob("qwen_data/**/*.jsonl"), *root.glob("json_data/**/*.json")]


def _move_deeper(root: Path) -> None:
    for task, name in FILES.items():
        (root / "qwen_data" / task).mkdir()
        (root / "qwen_data" / name).rename(root / "qwen_data" / task / name)


def _photograph(root: Path, manual: str) -> None:
    """Make the images of a manual JPEGs."""
    for path in [*root.rglob(f"{manual}/images/*.png")]:
        Image.open(path).convert("RGB").save(path.with_suffix(".jpg"), quality=90)
        path.unlink()
    for path in _texts(root):
        lines = path.read_text().splitlines(keepends=True)
        here = f"{manual}/images/"
        path.write_text(
            "".join(line.replace(".png", ".jpg") if here in line else line for line in lines)
        )


def _forget(root: Path, manual: str) -> None:
    """Take from a manual an instruction's image, and from another its class."""
    path = root / "json_data" / f"{manual}.json"
    content = json.loads(path.read_text())
    illustrated = [one for one in content["instructions"] if one["VLM"]]
    illustrated[-2]["VLM"] = None  # its name alone tells what it shows, and it precedes nothing
    illustrated[0]["VLM"]["step_class"] = None
    path.write_text(json.dumps(content))


def _add_old_objects(root: Path) -> None:
    """Write a dialogue that the new file supersedes, and one that it lacks."""
    turns = [
        {
            "role": "user",
            "content": [
                {"type": "image", "image": f"file:///x/lego/lego-demo-001/images/{name}"},
                {"type": "text", "text": "Which parts are needed for this step?"},
            ],
        }
        for name in ("1_eop.png", "old_eop.png")
    ]
    said = "<p>2 red 1x2 plate</p> {<10><20><40><60>}<p>1 blue 2x4 brick</p> {<50><20><90><60>}"
    told = {"role": "assistant", "content": [{"type": "text", "text": said}]}
    stream = "\n\n".join(json.dumps([turn, told], indent=1) for turn in turns)
    (root / "qwen_data/object/object_qwen.jsonl").write_text(stream + "\n")
    Image.new("RGB", PAGE, "white").save(
        root / "object_dataset/lego/lego-demo-001/images/old_eop.png"
    )
