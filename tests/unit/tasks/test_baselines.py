import json

import pytest
from jsonschema import Draft202012Validator
from trees import SCHEMAS

from legor1.core.errors import UserError
from legor1.core.files import read_json, read_jsonl, write_jsonl
from legor1.evaluation.scoring import Bootstrap, score
from legor1.tasks.baselines import NAMES, baselines, write_baselines
from legor1.tasks.parsing import parse_objects
from legor1.tasks.prompts import query


def conversation(task, name, response, prompt="What?", shown=(), size=(100, 50)):
    turn = {"image": "a.png", "width": size[0], "height": size[1], "prompt": prompt}
    row = {"schema_version": 1, "instance_id": f"{task}/{name}", "task": task, "manual": "m"}
    demonstrations = [
        {"instance_id": f"{task}/shown{i}", **turn, "response": text}
        for i, text in enumerate(shown)
    ]
    return row | turn | {"response": response, "demonstrations": demonstrations}


def boxes(*items):
    return json.dumps([{"bbox_2d": box, "label": label} for box, label in items])


TRAIN = [
    conversation("object", "a", boxes(([0, 0, 50, 25], "plate"), ([10, 5, 30, 15], "brick"))),
    conversation("object", "b", boxes(([80, 40, 100, 80], "brick")), size=(200, 100)),
    conversation("state", "a", "Yes."),
]
OBJECT = conversation("object", "q", boxes(([1, 2, 3, 4], "x")), size=(300, 200))
PROSE = conversation(
    "grounding", "q", "press it", query("grounding", "How?", "turn it"), ["push it"]
)
STATE = conversation("state", "q", "No.", shown=["No.", "Yes."])
TEST = [OBJECT, PROSE, STATE]


def said(name, *rows, train=TRAIN):
    return [row["prediction"] for row in baselines(train, list(rows))[name]]


def test_which_tasks_each_answers():
    found = baselines(TRAIN, TEST)
    assert tuple(found) == NAMES
    assert {name: [row["task"] for row in rows] for name, rows in found.items()} == {
        "always_yes": ["state"],
        "copy_demonstration": ["object", "grounding", "state"],
        "mean_box": ["object"],
        "previous_instruction": ["grounding"],
    }


def test_always_yes():
    assert said("always_yes", STATE) == ["Yes."]


def test_copy_demonstration_takes_the_last_and_misses_without_one():
    assert said("copy_demonstration", *TEST) == ["", "push it", "Yes."]


def test_the_mean_box_is_relative_to_the_image_and_has_the_most_frequent_label():
    # Relative x1: 0, 0.1, 0.4; y1: 0, 0.1, 0.4; x2: 0.5, 0.3, 0.5; y2: 0.5, 0.3, 0.8.
    (item,) = parse_objects(said("mean_box", OBJECT)[0], strict=True)
    assert item.box == (50, 33, 130, 107)
    assert item.label == "brick"


def test_of_labels_that_are_as_frequent_the_first_by_name_is_taken():
    tied = [conversation("object", "a", boxes(([0, 0, 9, 9], "b"), ([0, 0, 9, 9], "a")))]
    assert parse_objects(said("mean_box", OBJECT, train=tied)[0])[0].label == "a"


def test_without_train_boxes_there_is_no_mean_box():
    with pytest.raises(UserError, match=r"object/q .*Remedy"):
        baselines(TRAIN[2:], TEST)
    assert said("mean_box", STATE, train=TRAIN[2:]) == []


def test_the_previous_instruction_is_read_off_the_prompt():
    assert said("previous_instruction", PROSE) == ["turn it"]
    without = conversation("grounding", "q", "press it", "How? Previous instruction: no")
    assert said("previous_instruction", without) == [""]


def test_files_are_predictions_that_can_be_scored(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", TRAIN)
    write_jsonl(tmp_path / "test.jsonl", TEST)
    counts = write_baselines(tmp_path / "train.jsonl", tmp_path / "test.jsonl", tmp_path / "out")
    assert counts == {
        "always_yes": 1,
        "copy_demonstration": 3,
        "mean_box": 1,
        "previous_instruction": 1,
    }
    validator = Draft202012Validator(read_json(SCHEMAS / "prediction.schema.json"))
    for name in NAMES:
        rows = read_jsonl(tmp_path / "out" / f"{name}.jsonl")
        for row in rows:
            validator.validate(row)
        for protocol in ("sound", "thesis"):
            assert score(rows, protocol=protocol, settings=Bootstrap(10))[0]["tasks"]
