import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from jsonschema import Draft202012Validator
from prediction_lines import line

from legor1.core.errors import UserError
from legor1.core.files import read_json, write_jsonl
from legor1.evaluation.scoring import PROTOCOLS, Bootstrap, score, write_scores

FIXTURES = Path(__file__).parents[2] / "fixtures" / "thesis_scores"
SCHEMAS = Path(__file__).parents[3] / "workflow" / "schemas"
BOX = '[{"bbox_2d": [0, 0, 10, 10], "label": "1 red brick"}]'
HALF = '[{"bbox_2d": [0, 0, 10, 5], "label": "1 blue brick"}]'


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


def expect(found, expected):
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_values_by_hand():
    tasks = score(PREDICTIONS, settings=Bootstrap(50))[0]["tasks"]
    expect(
        tasks["object"], {"iou": 2.5 / 4, "iou_labelled": 2 / 4, "f1_object": (1 + 2 / 3 + 1) / 4}
    )
    expect(tasks["object"], {"parse_strict": 0.5, "parse_lenient": 0.75})
    # 4 true boxes, 3 predicted: 3 hits at 0.5, 2 at 0.75, and 2 whose labels agree.
    expect(tasks["object"], {"precision_50": 3 / 3, "recall_50": 3 / 4, "f1_50": 6 / 7})
    expect(tasks["object"], {"precision_75": 2 / 3, "recall_75": 2 / 4, "f1_75": 4 / 7})
    expect(tasks["object"], {"precision_50_labelled": 2 / 3, "recall_50_labelled": 2 / 4})
    expect(tasks["grounding"], {"f1_theme": 0.5, "rouge1": 0.5, "rougeL": 0.5, "bleu": 0.5})
    expect(tasks["state"], {"f1_state": 0.5, "fpr": 0.5, "balanced_accuracy": 0.5, "mcc": 0})
    expect(tasks["state"], {"parse_strict": 0.5, "parse_lenient": 0.75})
    assert tasks["state"]["confusion"] == {"tp": 1, "fp": 1, "fn": 1, "tn": 1}
    assert [(t["n"], t["clusters"]) for t in tasks.values()] == [(4, 2), (2, 1), (4, 4)]


def test_intervals_resample_manuals():
    iou = score(PREDICTIONS)[0]["tasks"]["object"]["intervals"]["iou"]
    assert (iou["low"], iou["high"]) == (0.5, 0.75)  # two manuals, of means 0.75 and 0.5
    apart = [row | {"manual": row["instance_id"]} for row in PREDICTIONS]
    wider = score(apart)[0]["tasks"]["object"]["intervals"]["iou"]
    assert wider["low"] < 0.5 < 0.75 < wider["high"]


def test_one_manual_has_no_interval():
    grounding = score(PREDICTIONS)[0]["tasks"]["grounding"]
    assert set(grounding["intervals"]["bleu"].values()) == {None}
    assert grounding["bleu_signature"].startswith("nrefs:1|")


def test_every_metric_of_a_perfect_and_of_an_empty_answer():
    tasks = [
        score([line("a", task, said, true, manual="m")])[0]["tasks"][task]
        for task, said, true in (("object", "[]", "[]"), ("grounding", "", ""), ("state", "", "No"))
    ]
    expect(tasks[0], {"iou": 1, "iou_labelled": 1, "f1_object": 1})
    assert tasks[0]["f1_50"] is None  # there is no box to find
    expect(tasks[1], {"f1_theme": 1, "bleu": 0})
    expect(tasks[2], {"fpr": 1, "balanced_accuracy": 0, "parse_lenient": 0})


def published(task):
    rows = [json.loads(one) for one in (FIXTURES / f"{task}.jsonl").open(encoding="utf-8")]
    return [
        line(f"{task}/{i:04}", task, r["prediction"], r["reference"]) for i, r in enumerate(rows)
    ], rows


def test_the_thesis_protocol_gives_what_its_own_code_gave():
    expected = json.loads((FIXTURES / "aggregate.json").read_text())
    lines, given = zip(*(published(task) for task in expected), strict=True)
    scores, frame = score([row for rows in lines for row in rows], protocol="thesis")
    names = {"object": {"f1": "f1_object"}, "grounding": {"f1": "f1_theme"}}
    names["state"] = {"f1": "f1_state", "counted": "n"}
    for task, values in expected.items():
        renamed = {names[task].get(name, name): value for name, value in values.items()}
        found = {name: scores["tasks"][task][name] for name in renamed}
        assert found == pytest.approx(renamed, abs=1e-9)
    state = scores["tasks"]["state"]
    assert state["left_out"] == len(lines[2]) - expected["state"]["counted"]
    for task, rows in zip(expected, given, strict=True):
        for name in set(rows[0]) - {"prediction", "reference"}:
            column = frame.loc[frame["task"] == task, names[task].get(name, name)]
            assert column.tolist() == pytest.approx([row[name] for row in rows], abs=1e-9)
    Draft202012Validator(read_json(SCHEMAS / "scores.schema.json")).validate(scores)


def test_the_thesis_protocol_leaves_out_and_fills_with_zero():
    rows = [line("a", "state", "maybe", "Yes."), line("b", "state", "Yes", "Yes.")]
    scores, frame = score(rows, protocol="thesis")
    expected = {"n": 1, "left_out": 1, "clusters": 1, "f1_state": 1.0, "fpr": 0.0}
    assert scores["tasks"]["state"] == expected
    assert frame["counted"].tolist() == [0, 1]
    assert np.isnan(frame["f1_state"][0]) and np.isnan(frame["fpr"][1])


def test_scores_depend_on_the_seed_but_not_on_the_order():
    rng = np.random.default_rng(0)
    rows = [line(f"s{i}", "state", rng.choice(["Yes", "No"]), "Yes.") for i in range(40)]
    scores, frame = score(rows, settings=Bootstrap(100))
    again, same = score(rows[::-1], settings=Bootstrap(100))
    assert scores == again
    pd.testing.assert_frame_equal(frame, same)
    assert score(rows, settings=Bootstrap(100, seed=7))[0]["tasks"] != scores["tasks"]


def test_an_undefined_measure_is_null():
    state = score([line("a", "state", "Yes", "Yes."), line("b", "state", "No", "Yes.")])[0]
    state = state["tasks"]["state"]
    assert state["fpr"] is None
    assert set(state["intervals"]["fpr"].values()) == {None}


def test_no_predictions_make_no_tasks():
    scores, frame = score([])
    assert (scores["tasks"], len(frame)) == ({}, 0)
    assert list(frame)[:4] == ["instance_id", "task", "manual", "iou"]


def test_files_are_read_back(tmp_path):
    write_jsonl(tmp_path / "p.jsonl", PREDICTIONS)
    returned = write_scores(tmp_path / "p.jsonl", tmp_path / "out", settings=Bootstrap(50))
    scores = read_json(tmp_path / "out" / "scores.json")
    assert scores == returned
    Draft202012Validator(read_json(SCHEMAS / "scores.schema.json")).validate(scores)
    frame = pd.read_parquet(tmp_path / "out" / "per_example.parquet")
    tasks = PROTOCOLS["sound"].values()
    columns = {name for task in tasks for name in (*task.metrics, *task.features)}
    assert set(frame) == {"instance_id", "task", "manual"} | columns
    assert list(frame["instance_id"]) == sorted(row["instance_id"] for row in PREDICTIONS)
    rows = frame.set_index("instance_id")
    assert rows.loc["object/b", "iou"] == 0.5
    assert rows.loc["state/a", "manual"] == "state/a"
    assert rows["fpr"].dropna().to_dict() == {"state/b": 1, "state/d": 0}
    assert rows["f1_state"].dropna().to_dict() == {"state/a": 1, "state/b": 0, "state/c": 0}
    assert rows["iou"].count() == 4
    assert (
        rows["matched_50"].sum() / rows["true_boxes"].sum()
        == scores["tasks"]["object"]["recall_50"]
    )


def test_the_schema_knows_what_a_protocol_must_have(tmp_path):
    validator = Draft202012Validator(read_json(SCHEMAS / "scores.schema.json"))
    sound, _ = score(PREDICTIONS, settings=Bootstrap(10))
    thesis, _ = score(PREDICTIONS, protocol="thesis")
    assert validator.is_valid(sound) and validator.is_valid(thesis)
    for protocol, scores in (("sound", sound), ("thesis", thesis)):
        for name, facts in scores["tasks"].items():
            assert set(PROTOCOLS[protocol][name].metrics) < set(facts)
    assert "bleu_signature" in sound["tasks"]["grounding"]
    assert "confusion" in sound["tasks"]["state"]
    assert "intervals" not in thesis["tasks"]["object"] and "interval" not in thesis
    assert not validator.is_valid(sound | {"protocol": "thesis"})
    assert not validator.is_valid(thesis | {"protocol": "sound"})
    assert not validator.is_valid(
        sound | {"tasks": {"object": {"n": 1, "clusters": 1, "iou": "1"}}}
    )


@pytest.mark.parametrize("row", PREDICTIONS[:1] + PREDICTIONS[-1:])
def test_a_line_that_can_be_scored_fits_the_schema(row):
    validator = Draft202012Validator(read_json(SCHEMAS / "prediction.schema.json"))
    validator.validate(row)
    with pytest.raises(UserError, match="the task 'counting' is none of object, grounding, state"):
        score([{**row, "task": "counting"}])
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
        (line("x\ud800", "state", "No", "Yes."), "instance_id has half of a surrogate pair"),
        (line("x", "state", "No", "Yes.", manual="\udfff"), "manual has half of a surrogate"),
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
