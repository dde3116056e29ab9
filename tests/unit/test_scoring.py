import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jsonschema import Draft202012Validator

from legor1.errors import UserError
from legor1.files import read_json, write_jsonl
from legor1.scoring import METRICS, score, write_scores

SCHEMAS = Path(__file__).parents[2] / "workflow" / "schemas"
BOX = '[{"bbox_2d": [0, 0, 10, 10], "label": "1 red brick"}]'
HALF = '[{"bbox_2d": [0, 0, 10, 5], "label": "1 blue brick"}]'


def line(name, task, prediction, reference, **more):
    row = {"instance_id": name, "task": task, "prediction": prediction, "reference": reference}
    return row | more


PREDICTIONS = [
    line("object/b", "object", HALF, BOX, manual="m1"),
    line("object/a", "object", BOX, BOX, manual="m1"),
    line("object/c", "object", "I see none", BOX, manual="m2"),
    line("object/d", "object", f"```{BOX}```", BOX, manual="m2"),
    line("grounding/a", "grounding", "press it", "press it", manual="m1"),
    line("grounding/b", "grounding", "", "press it", manual="m1"),
    line("state/a", "state", "Yes.", "Yes."),
    line("state/b", "state", "yes", "No."),
    line("state/c", "state", "who knows", "Yes."),
    line("state/d", "state", "No", "No."),
]


def values(scores, task):
    return {k: v["value"] for k, v in scores["tasks"][task].items() if isinstance(v, dict)}


def test_values_by_hand():
    scores, _ = score(PREDICTIONS, replicates=50)
    assert values(scores, "object") == pytest.approx(
        {"iou": 2.5 / 4, "f1_object": (1 + 2 / 3 + 1) / 4, "parse_strict": 0.5}
        | {"parse_lenient": 0.75}
    )
    assert values(scores, "grounding") == pytest.approx(
        {"f1_theme": 0.5, "rouge1": 0.5, "rouge2": 0.5, "rougeL": 0.5, "bleu": 0.5}
    )
    assert values(scores, "state") == pytest.approx(
        {"f1_state": 0.5, "fpr": 0.5, "balanced_accuracy": 0.5, "parse_strict": 0.5}
        | {"parse_lenient": 0.75}
    )
    assert [(t["n"], t["clusters"]) for t in scores["tasks"].values()] == [(4, 2), (2, 1), (4, 4)]


def test_intervals_resample_manuals():
    iou = score(PREDICTIONS)[0]["tasks"]["object"]["iou"]
    assert (iou["low"], iou["high"]) == (0.5, 0.75)  # two manuals, of means 0.75 and 0.5
    apart = [row | {"manual": row["instance_id"]} for row in PREDICTIONS]
    wider = score(apart)[0]["tasks"]["object"]["iou"]
    assert wider["low"] < 0.5 < 0.75 < wider["high"]


def test_one_manual_has_no_interval():
    bleu = score(PREDICTIONS)[0]["tasks"]["grounding"]["bleu"]
    assert (bleu["low"], bleu["high"]) == (None, None)
    assert bleu["signature"].startswith("nrefs:1|")


def test_scores_depend_on_the_seed_but_not_on_the_order():
    rng = np.random.default_rng(0)
    rows = [line(f"s{i}", "state", rng.choice(["Yes", "No"]), "Yes.") for i in range(40)]
    scores, frame = score(rows, replicates=100)
    again, same = score(rows[::-1], replicates=100)
    assert scores == again
    pd.testing.assert_frame_equal(frame, same)
    assert score(rows, replicates=100, seed=7)[0]["tasks"] != scores["tasks"]


def test_an_undefined_measure_is_null():
    state = score([line("a", "state", "Yes", "Yes."), line("b", "state", "No", "Yes.")])[0]
    assert state["tasks"]["state"]["fpr"] == {"value": None, "low": None, "high": None}


def test_no_predictions_make_no_tasks():
    scores, frame = score([])
    assert (scores["tasks"], len(frame), list(frame)[3:]) == ({}, 0, list(METRICS))


def test_files_are_read_back(tmp_path):
    write_jsonl(tmp_path / "p.jsonl", PREDICTIONS)
    returned = write_scores(tmp_path / "p.jsonl", tmp_path / "out", replicates=50)
    scores = read_json(tmp_path / "out" / "scores.json")
    assert scores == returned
    Draft202012Validator(read_json(SCHEMAS / "scores.schema.json")).validate(scores)
    frame = pd.read_parquet(tmp_path / "out" / "per_example.parquet")
    assert list(frame) == ["instance_id", "task", "manual", *METRICS]
    assert list(frame["instance_id"]) == sorted(row["instance_id"] for row in PREDICTIONS)
    rows = frame.set_index("instance_id")
    assert rows.loc["object/b", "iou"] == 0.5
    assert rows.loc["state/a", "manual"] == "state/a"
    assert rows["fpr"].dropna().to_dict() == {"state/b": 1, "state/d": 0}
    assert rows["f1_state"].dropna().to_dict() == {"state/a": 1, "state/b": 0, "state/c": 0}
    assert rows["iou"].count() == 4


@pytest.mark.parametrize("row", PREDICTIONS[:1] + PREDICTIONS[-1:])
def test_a_line_that_can_be_scored_fits_the_schema(row):
    validator = Draft202012Validator(read_json(SCHEMAS / "prediction.schema.json"))
    validator.validate(row)
    assert not validator.is_valid({**row, "task": "counting"})
    assert not validator.is_valid({k: v for k, v in row.items() if k != "reference"})


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (line("x", "counting", "", ""), "the task 'counting' is none of"),
        (line("object/a", "object", BOX, BOX), "'object/a' occurs a second time"),
        (line("x", "object", BOX, "prose"), "reference is no list of boxes"),
        (line("x", "state", "Yes", "perhaps"), "reference is neither yes nor no"),
        (line("x", "state", None, "Yes."), "prediction is not text"),
        (line("x", "state", "No", "Yes.", manual=3), "manual is not text"),
        ({"instance_id": "x"}, "missing task, prediction, reference"),
        ("text", "expected an object"),
    ],
)
def test_a_bad_line_is_named(tmp_path, bad, what):
    path = tmp_path / "p.jsonl"
    rows = [json.dumps(row) for row in [*PREDICTIONS[:2], bad]]
    path.write_text("\n\n".join(rows))
    with pytest.raises(UserError, match=r"p\.jsonl, line 5: .*Remedy: ") as error:
        write_scores(path, tmp_path / "out")
    assert what in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options", [{"protocol": "unsound"}, {"replicates": 0}, {"confidence": 95}, {"confidence": 0}]
)
def test_an_option_without_meaning_is_refused(options):
    with pytest.raises(UserError, match="Remedy"):
        score(PREDICTIONS, **options)
