"""The file's own box numbers, from the dataset's tree to the published scores.

Under the thesis's protocol a model is shown the numbers as they stand in the file, whatever their
frame, and its answer is compared with them as it is; the sound columns stay in pixels.
"""

import json

import pytest
from PIL import Image
from trees import Tree, check_schema, records_of

from legor1.core.boxes import shown_size, to_original
from legor1.core.files import read_jsonl
from legor1.data.audit.leaks import _is_unseen
from legor1.data.conversations import Conversations, write_conversations
from legor1.data.export import llamafactory
from legor1.evaluation.scoring import Bootstrap, score
from legor1.models.registry import DEFAULT
from legor1.published.defects import SWITCHES
from legor1.tasks.prompts import answer, chat_messages

BUDGET = DEFAULT.budget(9408, 15680)
OLD, NEW = "object_qwen.jsonl", "object_qwen_new.jsonl"
TREES = {  # file, image size, the boxes of each answer as written there
    "percent": (NEW, (480, 300), ["10, 20.5, 99, 95", "0, 0, 33, 100", "7, 11, 13, 17.25"]),
    "old": (OLD, (480, 300), ["10, 20.5, 99, 95", "0, 0, 33, 100", "7, 11, 13, 17.25"]),
    "pixels": (NEW, (480, 300), ["10, 20.5, 481, 95", "0, 0, 33, 100", "7, 11, 130.75, 170"]),
}


@pytest.fixture(params=TREES)
def prepared(request, tmp_path):
    """The kind of the tree, image → numbers in its file, and its conversations by protocol."""
    file, size, boxes = TREES[request.param]
    tree, written = Tree(tmp_path / "tree"), {}
    for manual in "ab":
        for number, box in enumerate(boxes):
            name = f"{manual}/images/{number}_eop.png"
            text = f'[{{"bbox_2d": [{box}], "label": "1 pin"}}]'
            if file == OLD:
                text = f"<p>1 pin</p> {{<{box.replace(', ', '><')}>}}"
            tree.objects(name, text, file, size=size)
            written[f"object_dataset/lego/{name}"] = [float(one) for one in box.split(", ")]
    records = records_of(tree)
    split = {side: [r["instance_id"] for r in records if r["manual"] == side] for side in "ab"}
    split = {"train": split["a"], "test": split["b"]}
    rows = {}
    for protocol, defects in (("thesis", SWITCHES), ("sound", ()), ("tags", SWITCHES)):
        form = "tags" if protocol == "tags" else "json"
        made = Conversations(records, split, seed=1, defects=defects, object_format=form)
        write_conversations(made, tmp_path / protocol)
        rows[protocol] = [
            row
            for variant in ("plain", "reasoning")
            for side in ("train", "test")
            for row in read_jsonl(tmp_path / protocol / variant / f"{side}.jsonl")
        ]
    return request.param, written, rows


def numbers(text: str) -> list[float]:
    inside = text.removeprefix("<answer>").removesuffix("</answer>")
    (item,) = json.loads(inside)
    return item["bbox_2d"]


def test_every_object_row_shows_the_numbers_of_the_file(prepared):
    kind, written, rows = prepared
    check_schema("conversation", *rows["thesis"], *rows["sound"], *rows["tags"])
    assert len(rows["thesis"]) == 12
    for row in rows["thesis"]:
        assert numbers(answer(row, BUDGET)) == written[row["image"]]
        assert row["box_frame"] == ("original" if kind == "pixels" else "percent_json")
        turns = chat_messages(row, BUDGET, demonstrations=True)
        said = [turn["content"][0]["text"] for turn in turns if turn["role"] == "assistant"]
        assert len(said) == len(row["demonstrations"]) == 1
        assert numbers(said[0]) == written[row["demonstrations"][0]["image"]]
        assert _is_unseen(row)
    for row in [*rows["sound"], *rows["tags"]]:
        assert "file_response" not in row and "file_response" not in row["demonstrations"][0]


def test_the_response_is_in_pixels_whatever_is_shown(prepared):
    kind, written, rows = prepared
    for row in [*rows["thesis"], *rows["sound"]]:
        scale = (1, 1) if kind == "pixels" else (row["width"] / 100, row["height"] / 100)
        meant = [number * scale[i % 2] for i, number in enumerate(written[row["image"]])]
        assert numbers(row["response"]) == pytest.approx(meant, abs=1)


def predictions(rows, change=str):
    """Return what ``predict`` writes of a model that says the shown answers, but for ``change``."""
    made = []
    for row in rows:
        said = change(answer(row, BUDGET))
        size = (row["width"], row["height"])
        made.append(
            {
                "instance_id": row["instance_id"],
                "task": row["task"],
                "completion": said,
                "prediction": to_original(said, size, BUDGET, row["box_frame"]),
                "reference": row["response"],
                "file_reference": row["file_response"],
                "box_frame": row["box_frame"],
            }
        )
    return made


def test_an_answer_is_scored_in_the_frame_that_was_shown(prepared):
    _, _, rows = prepared
    test = [row for row in rows["thesis"] if row["manual"] == "b" and row["variant"] == "plain"]
    perfect = predictions(test)
    check_schema("prediction", *perfect)
    (thesis,) = score(perfect, protocol="thesis")[0]["tasks"].values()
    assert thesis["iou"] == thesis["f1_object"] == 1  # to the letter: nothing is rounded
    (sound,) = score(perfect, settings=Bootstrap(9))[0]["tasks"].values()
    assert sound["iou"] > 0.95  # in whole pixels

    def half(text):
        x1, y1, x2, y2 = numbers(text)
        return text.replace(f"[{x1}, {y1}, {x2}, {y2}]", f"[{x1}, {y1}, {(x1 + x2) / 2}, {y2}]")

    (thesis,) = score(predictions(test, half), protocol="thesis")[0]["tasks"].values()
    assert thesis["iou"] == pytest.approx(0.5, abs=1e-12)


def test_llamafactory_is_given_the_same_numbers(prepared, tmp_path):
    _, written, rows = prepared

    class Placed:
        def place(self, turn):
            return turn["image"]

    for row in rows["thesis"]:
        messages = llamafactory(row, Placed())["messages"]
        assert numbers(messages[-1]["content"]) == written[row["image"]]


def test_predict_and_the_rewards_read_the_same_frame(prepared, tmp_path):
    """The Predictor's row, and the size that the first iteration's rewards scale JSON by."""
    from legor1.inference.predict import Predictor
    from legor1.training.job import Job

    kind, written, rows = prepared
    predictor, job = Predictor.__new__(Predictor), Job.__new__(Job)
    predictor.budget = job.budget = BUDGET
    predictor.ends = [0]
    for row in rows["thesis"]:
        said = answer(row, BUDGET)

        class Tokenizer:
            text = said

            def decode(self, ids, skip_special_tokens):
                return self.text

        predictor.processor = type("Processor", (), {"tokenizer": Tokenizer()})
        made = predictor._prediction(row, [1, 0])
        check_schema("prediction", made)
        assert made["completion"] == made["file_reference"] == said
        assert numbers(made["prediction"]) == pytest.approx(numbers(row["response"]), abs=1)
        size = (100, 100) if kind != "pixels" else (row["width"], row["height"])
        assert shown_size((row["width"], row["height"]), job.budget, row["box_frame"]) == size
        assert numbers(answer(row, job.budget)) == written[row["image"]]


def test_images_have_the_size_that_the_tree_says(tmp_path):
    # What the frames above rest on: a row's size is that of the file's upright image.
    tree = Tree(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    tree.objects("m/images/1_eop.png", '[{"bbox_2d": [10, 20, 150, 390], "label": "a"}]')
    image = Image.new("RGB", (400, 300))
    image.save(tree.root / "object_dataset/lego/m/images/1_eop.png", exif=exif)
    (row,) = records_of(tree)
    assert (row["image_width"], row["image_height"]) == (300, 400)
