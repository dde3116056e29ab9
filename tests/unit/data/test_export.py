"""Exports, each loaded by the program it is for where that can be installed."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image
from trees import BOX, Tree

from legor1.cli import main
from legor1.core.boxes import PixelBudget
from legor1.core.errors import UserError
from legor1.core.files import read_json, read_jsonl, write_jsonl
from legor1.data.export import FORMATS, write_export
from legor1.models.registry import DEFAULT

SIZES = {"1_eop.png": (400, 300), "2_eop.png": (560, 280), "3_step.jpg": (300, 400)}
PROCESSOR = DEFAULT.budget(3136, 12845056)  # Qwen2.5-VL's own
SHOWN = "object_dataset/lego/a/images/"
TWO = (
    '[{"bbox_2d": [0, 10, 50, 110], "label": "1 blue 2x4 brick"}, '
    '{"bbox_2d": [56, 28, 112, 140], "label": "2 red 1x2 plate"}]'
)


def turn(name: str, response: str, prompt: str = "Which parts?") -> dict:
    width, height = SIZES[name]
    task = "object" if "eop" in name else "grounding"
    return {
        "instance_id": f"{task}/a/images/{name.partition('.')[0]}",
        "image": SHOWN + name,
        "width": width,
        "height": height,
        "prompt": prompt,
        "response": response,
    }


def row(*turns: dict, **more) -> dict:
    head = {"schema_version": 1, "task": turns[-1]["instance_id"].partition("/")[0], "manual": "a"}
    return head | turns[-1] | {"demonstrations": list(turns[:-1])} | more


ROWS = {
    "train": [
        row(turn("2_eop.png", TWO), turn("1_eop.png", BOX)),
        row(turn("3_step.jpg", "Put it on, \u201cfirmly\u201d.", "What now?")),
    ],
    "test": [row(turn("1_eop.png", BOX), turn("2_eop.png", f"<answer>{TWO}</answer>"))],
}


class Study:
    """A tree and its conversations; ``export`` writes them in a format."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = Tree(root / "tree")
        for number, (name, size) in enumerate(SIZES.items()):
            self.tree.image(SHOWN + name, size, colour=number * 90)
        self.write(**ROWS)

    def write(self, **sides: list[dict]) -> None:
        self.files = [self.root / f"{side}.jsonl" for side in sides]
        for path, rows in zip(self.files, sides.values(), strict=True):
            write_jsonl(path, rows)

    def export(self, format: str, budget: PixelBudget | None = None) -> Path:
        out = self.root / "out"
        write_export(self.files, self.tree.root, out, format, budget)
        return out

    def refused(self, format: str, said: str, budget: PixelBudget | None = None) -> None:
        """Expect an error that leaves nothing behind."""
        before = sorted(self.root.iterdir())
        with pytest.raises(UserError, match=said) as error:
            self.export(format, budget)
        assert "Remedy: " in str(error.value)
        assert sorted(self.root.iterdir()) == before


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def llamafactory(folder: Path) -> dict[str, list[dict]]:
    """Read an export as LLaMA-Factory documents its format, and check what it relies on."""
    found = {}
    for name, info in read_json(folder / "dataset_info.json").items():
        assert info["formatting"] == "sharegpt"
        tags, columns = info["tags"], info["columns"]
        found[name] = rows = read_jsonl(folder / info["file_name"])
        for one in rows:
            messages = one[columns["messages"]]
            roles = [message[tags["role_tag"]] for message in messages]
            assert roles == [tags["user_tag"], tags["assistant_tag"]] * (len(messages) // 2)
            texts = "".join(message[tags["content_tag"]] for message in messages)
            assert texts.count("<image>") == len(one[columns["images"]]) > 0
            for path in one[columns["images"]]:
                assert not Path(path).is_absolute()
                with Image.open(folder / path) as image:
                    image.load()
    return found


def test_llamafactory_with_original_images(study):
    found = llamafactory(study.export("llamafactory"))
    assert set(found) == {"legor1_train", "legor1_test"}
    first = found["legor1_train"][0]
    assert first["images"] == [f"images/{SHOWN}2_eop.png", f"images/{SHOWN}1_eop.png"]
    assert [message["content"] for message in first["messages"]] == [
        "<image>Which parts?",
        TWO,
        "<image>Which parts?",
        BOX,
    ]


def test_llamafactory_with_images_and_boxes_as_the_model_sees_them(study):
    budget = DEFAULT.budget(3136, 100352)
    out = study.export("llamafactory", budget)
    first = llamafactory(out)["legor1_train"][0]
    assert first["messages"][1]["content"] == (
        '[{"bbox_2d": [0, 8, 40, 88], "label": "1 blue 2x4 brick"}, '
        '{"bbox_2d": [45, 22, 90, 112], "label": "2 red 1x2 plate"}]'
    )
    for path in content(out):
        if path.startswith(("images/", "resized/")):
            with Image.open(out / path) as image:
                size = image.size
            assert size[0] * size[1] <= budget.max_pixels  # LLaMA-Factory leaves it alone
            assert PROCESSOR.processed_size(size) == size  # and so does the model's processor


def test_an_image_that_has_the_right_size_is_not_touched(study):
    out = study.export("llamafactory", DEFAULT.budget(3136, 12845056))
    assert llamafactory(out)["legor1_train"][0]["images"] == [
        f"images/{SHOWN}2_eop.png",
        f"resized/{SHOWN}1_eop.png.png",
    ]
    assert (out / f"images/{SHOWN}2_eop.png").samefile(study.tree.root / f"{SHOWN}2_eop.png")


@pytest.mark.parametrize("frame", ["original", "percent"])
def test_boxes_of_another_frame_are_left_as_they_are(study, frame):
    study.write(train=[row(turn("1_eop.png", BOX), box_frame=frame)])
    out = study.export("llamafactory", DEFAULT.budget(3136, 100352))
    assert llamafactory(out)["legor1_train"][0]["messages"][1]["content"] == BOX


def test_trl_trains_on_the_completion_alone_with_each_image_in_its_place(study, tmp_path):
    from sft_cases import stock_batch  # it takes seconds to import

    loaded = load(study.export("trl", DEFAULT.budget(3136, 100352)), tmp_path / "cache")
    assert {side: len(rows) for side, rows in loaded.items()} == {"train": 2, "test": 1}
    texts, scored = stock_batch(loaded["train"], tmp_path)
    assert [text.count("<|vision_start|>") for text in texts] == [2, 1]
    # The image of the demonstration, its question and answer, and only then the query's image.
    order = ["<|vision_start|>", "Which parts?", "1 blue 2x4 brick", "<|vision_start|>", "Which"]
    places = [texts[0].index(order[0])]
    for words in order[1:]:
        places.append(texts[0].index(words, places[-1] + 1))
    assert scored[0].startswith('[{"bbox_2d": [') and "1 blue" not in scored[0]
    assert scored[1].startswith("Put it on, \u201cfirmly\u201d.")


def test_ms_swift_gets_boxes_beside_the_text(study):
    """As its documentation has it: pixels, and of which of the row's images."""
    out = study.export("ms-swift")
    first, second = read_jsonl(out / "train.jsonl")
    assert first["objects"] == {
        "ref": [],
        "bbox": [[0, 10, 50, 110], [56, 28, 112, 140], [10, 20, 310, 220]],
        "image_id": [0, 0, 1],
    }
    contents = [message["content"] for message in first["messages"]]
    assert "".join(contents).count("<bbox>") == 3
    assert contents[3] == '[{"bbox_2d": <bbox>, "label": "2 red 1x2 plate"}]'
    assert first["solution"] == BOX and "objects" not in second
    assert [(out / path).is_file() for path in first["images"]] == [True, True]


def test_vlm_r1_gets_the_query_alone(study):
    out = study.export("vlm-r1")
    first = read_jsonl(out / "train.jsonl")[0]
    assert (first["id"], (out / first["image"]).is_file()) == ("object/a/images/1_eop", True)
    assert first["conversations"] == [
        {"from": "human", "value": "<image>Which parts?"},
        {"from": "gpt", "value": BOX},
    ]


def load(folder: Path, cache: Path):
    from datasets import load_dataset

    return load_dataset(str(folder), cache_dir=str(cache))


def test_huggingface_opens_with_images(study, tmp_path):
    loaded = load(study.export("huggingface"), tmp_path / "cache")
    assert {side: len(rows) for side, rows in loaded.items()} == {"train": 2, "test": 1}
    first, second = loaded["train"]
    assert first["image"].size == SIZES["1_eop.png"]
    assert first["image"].getpixel((0, 0)) == (0, 0, 0)
    assert [image.size for image in first["demonstration_images"]] == [SIZES["2_eop.png"]]
    assert (first["prompt"], first["response"]) == ("Which parts?", BOX)
    assert first["demonstration_responses"] == [TWO]
    assert second["demonstration_images"] == []
    assert second["response"] == "Put it on, \u201cfirmly\u201d."
    assert [one["task"] for one in loaded["train"]] == ["object", "grounding"]


def test_huggingface_opens_without_demonstrations_and_under_any_name(study, tmp_path):
    study.write(mine=[dict(one, demonstrations=[]) for one in ROWS["train"]])
    loaded = load(study.export("huggingface"), tmp_path / "cache")
    assert [image.size for image in loaded["mine"]["image"]] == [(400, 300), (300, 400)]


def test_coco_loads_and_a_perfect_detector_scores_one(study):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    out = study.export("coco")
    truth = COCO(str(out / "annotations/test.json"))
    (image,) = truth.loadImgs(truth.getImgIds())
    with Image.open(out / "images" / image["file_name"]) as opened:
        assert opened.size == (image["width"], image["height"])
    (red,) = truth.getCatIds(catNms=["2 red 1x2 plate"])
    (annotation,) = truth.loadAnns(truth.getAnnIds(catIds=[red]))
    assert annotation["bbox"] == [56, 28, 56, 112]
    assert annotation["area"] == 56 * 112
    said = [dict(one, score=1.0) for one in truth.dataset["annotations"]]
    evaluation = COCOeval(truth, truth.loadRes(said), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)


def test_coco_has_one_set_of_categories_and_only_objects(study):
    out = study.export("coco")
    train, test = (read_json(out / f"annotations/{side}.json") for side in ("train", "test"))
    assert train["categories"] == test["categories"]
    assert [one["name"] for one in train["categories"]] == ["1 blue 2x4 brick", "2 red 1x2 plate"]
    assert [one["instance_id"] for one in train["images"]] == ["object/a/images/1_eop"]


def test_coco_converts_percent(study):
    said = "<p>2 red 1x2 plate</p> {<10><20><30><40>}"
    study.write(train=[row(turn("1_eop.png", said), box_frame="percent")])
    out = study.export("coco")
    (annotation,) = read_json(out / "annotations/train.json")["annotations"]
    assert annotation["bbox"] == [40, 60, 80, 60]


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_input_gives_the_same_bytes_and_replaces_the_earlier_export(study, format):
    first = content(study.export(format))
    (study.root / "out" / "stale").write_text("left by an earlier export")
    assert content(study.export(format)) == first


@pytest.mark.parametrize("format", FORMATS)
def test_a_folder_of_the_users_is_not_replaced(study, format):
    mine = study.root / "out" / "mine"
    mine.parent.mkdir()
    mine.write_text("mine")
    study.refused(format, "was not written by this command")
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("../secret.png", "path leaves the tree"),
        ("lego/../../secret.png", "path leaves the tree"),
        ("{root}/secret.png", "path leaves the tree"),
        ("link.png", "path leaves the tree"),
        ("none.png", "file missing"),
        ("a\0b", "file missing"),
        ("text.png", "image unreadable"),
        (SHOWN + "2_eop.png", r"has \(560, 280\) pixels, not \(400, 300\)"),
    ],
)
def test_an_image_that_is_not_right_stops_the_export(study, format, image, said):
    Image.new("RGB", (400, 300)).save(study.root / "secret.png")
    (study.tree.root / "link.png").symlink_to(study.root / "secret.png")
    (study.tree.root / "text.png").write_text("no image")
    wrong = turn("1_eop.png", BOX) | {"image": image.format(root=study.root)}
    study.write(train=[row(turn("1_eop.png", BOX)), row(wrong)])
    study.refused(format, said)


def test_a_row_that_is_no_conversation_is_named(study):
    study.write(train=[ROWS["train"][0], {"image": "x.png"}])
    study.refused("huggingface", r"train\.jsonl, line 2: .*missing instance_id, task")


def test_other_input_that_cannot_be_exported(study):
    study.refused("coco", "keeps the original images", DEFAULT.budget(3136, 100352))
    study.refused("llamafactory", "resizes images outside", DEFAULT.budget(784, 100352))
    study.write(train=[row(turn("1_eop.png", "Yes."))])
    study.refused("coco", "its response holds no boxes: 'Yes.'")
    study.write(train=[ROWS["train"][1]])
    study.refused("coco", "no object query")
    study.files = [study.root / "none.jsonl"]
    study.refused("coco", "cannot be read")
    study.write(**{"a b": ROWS["train"]})
    study.refused("coco", "cannot name a part")
    study.write(train=ROWS["train"])
    study.files *= 2
    study.refused("coco", "cannot name a part")


def test_where_links_cannot_be_made_images_are_copied(study, monkeypatch):
    def refuse(*_, **__):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    out = study.export("llamafactory")
    copied = out / f"images/{SHOWN}1_eop.png"
    original = study.tree.root / f"{SHOWN}1_eop.png"
    assert copied.read_bytes() == original.read_bytes()
    assert not copied.samefile(original)


def test_the_command(study, capsys, monkeypatch):
    monkeypatch.chdir(study.root)
    given = ["export", "train.jsonl", "test.jsonl", "--tree", "tree", "--out", "out"]
    command = [*given, "--format", "llamafactory", "--max-pixels"]
    assert main.main([*command, "100352"]) == 0
    assert capsys.readouterr().out == "export llamafactory: train 2, test 1\n"
    assert json.loads((study.root / "out/dataset_info.json").read_text())
    assert main.main([*command, "7"]) == 2
    assert "Remedy: keep --min-pixels <= --max-pixels" in capsys.readouterr().err
