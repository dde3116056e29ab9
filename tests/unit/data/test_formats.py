"""COCO, YOLO and conversations of other programs become rows like LEGO-ARTA's, or say why not."""

import json

import numpy as np
import pytest
import yaml
from PIL import Image
from trees import check_schema

from legor1.core.errors import UserError
from legor1.core.files import read_jsonl
from legor1.data.conversations import Conversations
from legor1.data.formats.own_data import write_index
from legor1.data.instances import read_records
from legor1.data.split import split

SIZE = (400, 300)
DOG, CAT = [10, 20, 110, 220], [200, 30, 380, 290]
ANSWER = json.dumps([{"bbox_2d": DOG, "label": "dog"}, {"bbox_2d": CAT, "label": "cat"}])


class Folder:
    """A dataset in the making; ``index`` reads it."""

    def __init__(self, root):
        self.root = root

    def image(self, path, size=SIZE):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(len(str(path))).integers(0, 256, (*size[::-1], 3))
        Image.fromarray(noise.astype(np.uint8)).save(target)

    def text(self, path, text):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def lines(self, path, *rows):
        self.text(path, "".join(json.dumps(row) + "\n" for row in rows))

    def index(self, format, files, **options):
        given = {"format": format, "files": files, "question": "Find all.", "boxes": "pixels"}
        out = self.root.parent / "instances.parquet"
        quarantine = self.root.parent / "quarantine.jsonl"
        self.summary = write_index(self.root, given | options, out, quarantine)
        self.quarantine = read_jsonl(quarantine)
        assert len(self.quarantine) == sum(self.summary["quarantined"].values())
        for entry in self.quarantine:
            check_schema("quarantine", entry)
        return read_records(out)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "data")


def write_coco(folder, **changes):
    """Two images with both animals, as pycocotools would read them, and one without any."""
    for name in ("one", "two", "none"):
        folder.image(f"images/train2017/{name}.jpg")
    images = [
        {"id": 7 + n, "file_name": f"{name}.jpg", "width": 400, "height": 300}
        for n, name in enumerate(("one", "two", "none"))
    ]
    boxes = {18: [10.0, 20.0, 100.0, 200.0], 17: [200.0, 30.0, 180.25, 259.6]}
    annotations = [
        {"id": 9 * image["id"] + kind, "image_id": image["id"], "category_id": kind, "bbox": box}
        for image in images[:2]
        for kind, box in boxes.items()
    ]
    annotations.append(annotations[0] | {"iscrowd": 1, "bbox": [0, 0, 400, 300]})
    categories = [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    folder.text("annotations/instances_train.json", json.dumps(content | changes))


def test_coco_has_a_row_for_each_image_with_boxes(folder):
    write_coco(folder)
    rows = folder.index("coco", "annotations/*.json")
    assert folder.summary["rows"] == {"object": 2} and not folder.quarantine
    first = rows[0]
    assert (first["task"], first["image"]) == ("object", "images/train2017/one.jpg")
    assert (first["image_width"], first["image_height"]) == SIZE
    assert (first["prompt"], first["response"]) == ("Find all.", ANSWER)
    assert first["manual"] == first["image"]  # each image is its own group


def test_a_row_of_coco_that_cannot_be_used_is_set_aside(folder):
    write_coco(folder)
    path = folder.root / "annotations/instances_train.json"
    content = json.loads(path.read_text())
    content["images"].append({"id": 99, "file_name": "../../etc/passwd"})
    content["images"].append({"id": 98, "file_name": "gone.jpg"})
    content["annotations"][0]["bbox"] = [1, 2]
    one = content["annotations"][1]
    content["annotations"] += [one | {"image_id": 99}, one | {"image_id": 98}]
    path.write_text(json.dumps(content))
    assert len(folder.index("coco", "annotations/*.json")) == 1
    assert folder.summary["quarantined"] == {
        "annotation without bbox or category": 1,
        "file missing": 1,
        "path leaves the tree": 1,
    }


@pytest.mark.parametrize("sized", [True, False])
def test_boxes_of_another_size_of_image_are_an_error(folder, sized):
    write_coco(folder)
    for name in ("one", "two"):
        folder.image(f"images/train2017/{name}.jpg", (200, 150))
    if not sized:
        path = folder.root / "annotations/instances_train.json"
        path.write_text(path.read_text().replace('"width"', '"w"'))
    reason = "image of another size than the file says" if sized else "box outside its frame"
    with pytest.raises(UserError, match=rf"no usable example \({reason}: 2\)"):
        folder.index("coco", "annotations/*.json")


@pytest.mark.parametrize(
    ("files", "image"),
    [
        # As COCO is published, with the same names on both sides.
        ("annotations/instances_{side}2017.json", "{side}2017/one.jpg"),
        ("annotations/instances_{side}2017.json", "images/{side}2017/one.jpg"),
        ("{side}/_annotations.coco.json", "{side}/one.jpg"),  # as Roboflow writes it
        ("{side}/_annotations.coco.json", "{side}/images/one.jpg"),
    ],
)
def test_an_image_is_found_where_it_lies_beside_its_file(folder, files, image):
    sizes = {"train": (400, 300), "val": (500, 300)}
    for side, (width, height) in sizes.items():
        folder.image(image.format(side=side), (width, height))
        content = {
            "images": [{"id": 1, "file_name": "one.jpg", "width": width, "height": height}],
            "annotations": [{"image_id": 1, "category_id": 0, "bbox": [1, 1, 50, 50]}],
            "categories": [{"id": 0, "name": "dog"}],
        }
        folder.text(files.format(side=side), json.dumps(content))
    rows = folder.index("coco", files.format(side="*"))
    assert [row["image"] for row in rows] == [image.format(side=side) for side in sizes]


def test_the_folder_in_an_images_name_counts(folder):
    folder.image("b/one.jpg")
    row = {"messages": chat("Yes"), "images": [r".\a\one.jpg"]}
    folder.lines("all.jsonl", row, row | {"images": ["./b/one.jpg"]})
    assert [row["image"] for row in folder.index("jsonl", "*.jsonl")] == ["b/one.jpg"]
    assert folder.summary["quarantined"] == {"file missing": 1}


def test_yolo_has_fractions_of_the_sides(folder):
    for name in ("one", "two"):
        folder.image(f"train/images/{name}.png")
        folder.text(f"train/labels/{name}.txt", "1 0.15 0.4 0.25 0.66666667\n0 0.05 0.05 0.1 0.1\n")
    folder.image("train/images/none.png")
    folder.text("train/labels/none.txt", "")
    folder.text("train/labels/odd.txt", "7 0.5 0.5 0.1 0.1\n")
    folder.text("data.yaml", yaml.safe_dump({"names": ["cat", "dog"], "train": "train/images"}))
    # An outline has its box; a detector's confidence is left out.
    outline = "1 0.025 0.1 0.275 0.0666667 0.2 0.733333\n0 0.05 0.05 0.1 0.1 0.9\n"
    folder.text("train/labels/two.txt", outline)
    rows = folder.index("yolo", "data.yaml")
    assert (
        json.loads(rows[1]["response"])
        == json.loads(rows[0]["response"])
        == [
            {"bbox_2d": [10, 20, 110, 220], "label": "dog"},
            {"bbox_2d": [0, 0, 40, 30], "label": "cat"},
        ]
    )
    assert len(rows) == 2
    assert folder.summary["quarantined"] == {"line that is no class and box": 1}


def chat(answer, question="<image>Where?"):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


SPOKEN = {
    "LLaMA-Factory": {"messages": chat(ANSWER), "images": ["pictures/a.png"]},
    "ms-swift": {
        "messages": chat(ANSWER.replace(str(DOG), "<bbox>").replace(str(CAT), "<bbox>")),
        "images": [{"path": "pictures/a.png"}],
        "objects": {"ref": [], "bbox": [DOG, CAT]},
    },
    "ms-swift, with labels": {
        "messages": chat(
            '[{"bbox_2d": <bbox>, "label": "<ref-object>"}, '
            '{"bbox_2d": <bbox>, "label": "<ref-object>"}]'
        ),
        "images": ["pictures/a.png"],
        "objects": {"ref": ["dog", "cat"], "bbox": [DOG, CAT]},
    },
    "ms-swift, marks alone": {
        "query": "<image>Where?",
        "response": "<ref-object><bbox>, <ref-object><bbox>",
        "images": ["pictures/a.png"],
        "objects": {"ref": ["dog", "cat"], "bbox": [DOG, CAT], "bbox_type": "real"},
    },
    "VLM-R1": {
        "image": "pictures/a.png",
        "conversations": [
            {"from": "human", "value": "<image>Where?"},
            {"from": "gpt", "value": ANSWER},
        ],
    },
    "TRL": {
        "prompt": [
            {
                "role": "user",
                "content": [{"type": "image", "text": None}, {"type": "text", "text": "Where?"}],
            }
        ],
        "completion": [{"role": "assistant", "content": [{"type": "text", "text": ANSWER}]}],
        "images": ["pictures/a.png"],
    },
    "plain": {"prompt": "Where?", "response": ANSWER, "image": "pictures/a.png"},
}


@pytest.mark.parametrize("row", SPOKEN.values(), ids=SPOKEN)
def test_conversations_of_each_program_are_read(folder, row):
    folder.image("pictures/a.png")
    folder.lines("train.jsonl", row)
    (one,) = folder.index("jsonl", "*.jsonl")
    assert (one["task"], one["prompt"], one["response"]) == ("object", "Where?", ANSWER)
    assert one["image"] == "pictures/a.png"


def test_one_label_may_be_of_all_boxes_and_stand_in_the_question(folder):
    folder.image("a.png")
    row = {"messages": chat("<bbox><bbox>", "<image>Find each <ref-object>."), "images": ["a.png"]}
    folder.lines("all.jsonl", row | {"objects": {"ref": ["dog"], "bbox": [DOG, CAT]}})
    (row,) = folder.index("jsonl", "*.jsonl")
    assert row["prompt"] == "Find each dog."
    assert row["response"] == ANSWER.replace("cat", "dog")


def test_a_file_may_be_one_array(folder):
    folder.image("data/a.png")
    rows = [{"messages": chat(answer), "images": ["a.png"]} for answer in ("Yes", "red \ud800")]
    folder.text("data/all.json", json.dumps([*rows, 1], indent=2))
    assert {row["response"] for row in folder.index("jsonl", "data/*.json")} == {"Yes.", "red ?"}
    (entry,) = folder.quarantine
    assert (entry["file"], entry["position"]) == ("data/all.json", 3)


def test_the_task_follows_from_the_answer_or_is_named(folder):
    folder.image("a.png")
    answers = {"Yes": "state", "no.": "state", "a red car": "question", ANSWER: "object"}
    rows = [{"messages": chat(answer), "images": ["a.png"]} for answer in answers]
    rows.append({"messages": chat("Put it on."), "images": ["a.png"], "task": "grounding"})
    folder.lines("all.jsonl", *rows)
    found = {row["response"]: row for row in folder.index("jsonl", "*.jsonl")}
    assert {text: row["task"] for text, row in found.items()} == {
        "Yes.": "state", "No.": "state", "a red car": "question", ANSWER: "object",
        "Put it on.": "grounding",
    }  # fmt: skip
    assert (found["No."]["falsified"], found["Yes."]["falsified"]) == (True, False)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("not json", "not JSON"),
        ([1], "not an object"),
        ({"messages": "?", "images": ["a.png"]}, "no turns under"),
        ({"messages": chat("x")[:1], "images": ["a.png"]}, "does not end in a question"),
        ({"messages": chat("x"), "images": []}, "no image"),
        ({"messages": chat("x"), "images": ["b.png"]}, "file missing"),
        ({"messages": chat(" "), "images": ["a.png"]}, "turn without text"),
        ({"messages": chat("x"), "images": ["a.png"], "task": "song"}, "there is no task 'song'"),
        ({"messages": chat("maybe"), "images": ["a.png"], "task": "state"}, "neither yes nor no"),
        ({"messages": chat("<bbox>"), "images": ["a.png"]}, "without a pixel box for each"),
        (
            {"messages": chat("<bbox>"), "images": ["a.png"], "objects": {"bbox": [None]}},
            "without a pixel box for each",
        ),
        ({"messages": chat("[]"), "images": ["a.png"], "task": "object"}, "no box in the answer"),
        (
            {"messages": chat("A <bbox>!"), "images": ["a.png"], "objects": {"bbox": [DOG]}},
            "boxes in a sentence",
        ),
        (
            {"messages": chat("<bbox>"), "images": ["a.png"], "objects": {"bbox": [DOG]}},
            "without a label for each",
        ),
    ],
)
def test_a_line_that_cannot_be_used_is_set_aside_with_its_reason(folder, row, reason):
    folder.image("a.png")
    folder.lines("all.jsonl", {"messages": chat("fine"), "images": ["a.png"]}, row)
    if isinstance(row, str):
        folder.text("all.jsonl", (folder.root / "all.jsonl").read_text().replace(f'"{row}"', row))
    assert len(folder.index("jsonl", "*.jsonl")) == 1
    (entry,) = folder.quarantine
    assert (entry["file"], entry["position"]) == ("all.jsonl", 2)
    assert reason in entry["reason"]


@pytest.mark.parametrize(
    ("units", "numbers"),
    [
        ("thousandths", [25, 66.7, 275, 733.3]),
        ("percent", [2.5, 6.67, 27.5, 73.33]),
        ("fractions", [0.025, 0.0667, 0.275, 0.7333]),
    ],
)
def test_boxes_of_other_units_are_put_into_pixels(folder, units, numbers):
    folder.image("a.png")
    answer = json.dumps([{"bbox_2d": numbers, "label": "dog"}])
    folder.lines("all.jsonl", {"messages": chat(answer), "images": ["a.png"]})
    (row,) = folder.index("jsonl", "*.jsonl", boxes=units)
    assert json.loads(row["response"])[0]["bbox_2d"] == DOG


@pytest.mark.parametrize("group", [r"^(s\d+)_", "scene"])
def test_groups_are_split_whole_and_shown_to_each_other(folder, group):
    rows = []
    for scene in range(8):
        for number in range(4):
            folder.image(f"s{scene}_{number}.png", (300 + 10 * scene + number, 300))
            said = chat(("Yes.", "No.")[number % 2])
            row = {"messages": said, "images": [f"s{scene}_{number}.png"], "scene": f"s{scene}"}
            rows.append(row)
    folder.lines("all.jsonl", *rows)
    made = folder.index("jsonl", "*.jsonl", group=group)
    assert {row["manual"] for row in made} == {f"s{scene}" for scene in range(8)}
    divided = split(made, seed=1, test_fraction=0.25)
    sides = {name: side for side in ("train", "test") for name in divided[side]}
    assert len({(row["manual"], sides[row["instance_id"]]) for row in made}) == 8
    shown = Conversations(made, divided, seed=1)
    for name in divided["test"]:
        turns = shown.conversation(name)["plain"]["demonstrations"]
        assert sorted(turn["response"] for turn in turns) == ["No.", "Yes."]
        assert {sides[turn["instance_id"]] for turn in turns} == {"train"}


def test_nothing_to_read_is_an_error_with_a_remedy(folder):
    folder.image("a.png")
    with pytest.raises(UserError, match=r"has no \*\.jsonl.*Remedy: name the files"):
        folder.index("jsonl", "*.jsonl")
    folder.text("annotations/a.json", '{"images": []}')
    with pytest.raises(UserError, match=r"is not COCO's detection format: KeyError.*Remedy: "):
        folder.index("coco", "annotations/*.json")
    folder.text("data.yaml", "nc: 3")
    with pytest.raises(UserError, match=r"names no classes.*Remedy: "):
        folder.index("yolo", "data.yaml")
