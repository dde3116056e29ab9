"""Small dataset trees, written row by row, for tests of what reads them."""

import json
from pathlib import Path

import pandas as pd
from jsonschema import Draft202012Validator
from PIL import Image

from legor1.data.lego_arta.index import index

SCHEMAS = Path(__file__).parents[2] / "workflow/schemas"
BOX = '[{"bbox_2d": [10, 20, 310, 220], "label": "2 red 1x2 plate"}]'
PROMPTS = {"object": "Which parts?", "grounding": "What now?", "state": "Is it right?"}


def check_schema(name: str, *values) -> None:
    """Check each value against a schema of the project, itself checked first."""
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    assert values
    for value in values:
        Draft202012Validator(schema).validate(value)


def turns(uri: str | None, prompt: str, answer: str) -> list[dict]:
    image = [{"type": "image", "image": uri}] if uri else []
    return [
        {"role": "user", "content": [*image, {"type": "text", "text": prompt}]},
        {"role": "assistant", "content": [{"type": "text", "text": answer}]},
    ]


class Tree:
    """A dataset tree in the making; images are 400 x 300 pixels unless told."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "qwen_data").mkdir(parents=True)

    def image(self, path: str, size: tuple[int, int] = (400, 300), colour: int = 0) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (colour % 256, colour // 256 % 256, 0)).save(target)

    def raw(self, file: str, text: str) -> None:
        target = self.root / "qwen_data" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("a") as stream:
            stream.write(text + "\n")

    def ask(self, file: str, image: str | None, answer: str = "Yes.", prompt: str = "") -> None:
        task = file.rpartition("/")[2].partition("_")[0]
        uri = image and f"file:///mnt/data/lego/{image}"
        self.raw(file, json.dumps(turns(uri, prompt or PROMPTS[task], answer), indent=1) + "\n")

    def objects(
        self, image: str, answer: str, file: str = "object_qwen_new.jsonl", **kwargs
    ) -> None:
        self.image(f"object_dataset/lego/{image}", **kwargs)
        self.ask(file, image, answer)

    def manual(self, name: str, *instructions: dict) -> None:
        target = self.root / "json_data/part" / f"{name}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({"manual_id": name, "instructions": instructions}))


def instruction(
    number: int, text, image: str | None = None, step_class=None, step_num=None
) -> dict:
    view = {"img_path": f"x/lego/{image}", "step_class": step_class, "step_num": step_num}
    return {"instruction_id": number, "text": text, "VLM": view if image else None}


def instances(manuals: dict[str, int]) -> pd.DataFrame:
    """Return a table of instances without a tree: of each manual so many steps in all tasks."""
    rows = []
    for manual, count in manuals.items():
        for step in range(1, count + 1):
            rows.append(_instance("object", manual, f"{step}_eop", "eop", step))
            rows.append(_instance("grounding", manual, f"{step}_step", "step", step))
            rows.append(_instance("state", manual, f"{step}_step", "step", step))
            rows.append(_instance("state", manual, f"{step}_step_fake1", "step", pd.NA))
    table = pd.DataFrame(rows).sort_values("instance_id", ignore_index=True)
    return table.astype({"step_num": "Int64"})


def _instance(task: str, manual: str, name: str, step_class: str, step) -> dict:
    falsified = "_fake" in name
    responses = {
        "object": f'[{{"bbox_2d": [1, 2, 30, 40], "label": "{manual} {name}"}}]',
        "grounding": f"Do {manual} {name}.",
        "state": "No." if falsified else "Yes.",
    }
    return {
        "instance_id": f"{task}/{manual}/images/{name}",
        "task": task,
        "manual": manual,
        "image": f"{task}/{manual}/images/{name}.png",
        "image_width": 400,
        "image_height": 300,
        "prompt": PROMPTS[task],
        "response": responses[task],
        "step_class": step_class,
        "step_num": step,
        "previous_instruction": "",
        "step_instruction": "",
        "step_previous_instruction": f"Before {name.partition('_')[0]}",
        "falsified": falsified,
        "file_response": responses[task] if task == "object" else "",
        "file_frame": "pixels" if task == "object" else "",
    }


def rows_of(tree: Tree) -> tuple[dict[str, dict], list[dict]]:
    """Return what the tree's index holds: rows by instance id, and the quarantine."""
    found = index(tree.root)
    return {name: row._asdict() for name, row in found.rows.items()}, found.quarantine


def records_of(tree: Tree) -> list[dict]:
    """Return the rows of the tree's index, in its order."""
    return [*rows_of(tree)[0].values()]


def reasons_of(tree: Tree) -> list[str]:
    return [entry["reason"] for entry in index(tree.root).quarantine]
