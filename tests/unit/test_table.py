import math

import pytest

from legor1.errors import UserError
from legor1.files import write_json
from legor1.table import COLUMNS, table, write_table


@pytest.fixture
def scores(tmp_path):
    def write(name, iou, low, high):
        metrics = {"n": 3, "clusters": 2, "iou": {"value": iou, "low": low, "high": high}}
        path = tmp_path / name / "scores.json"
        write_json(path, {"protocol": "sound", "tasks": {"object": metrics}})
        return path

    return {"zero": write("zero", 1 / 3, 0.25, 0.5), "all": write("all", 1.0, None, None)}


def test_one_row_a_number_in_the_order_given(scores):
    frame = table(scores)
    assert tuple(frame) == COLUMNS
    assert frame.iloc[0].tolist() == ["zero", "sound", "object", "iou", 1 / 3, 0.25, 0.5, 3]
    assert frame.loc[1, "experiment"] == "all"
    assert math.isnan(frame.loc[1, "low"])


def test_the_file_has_six_decimals_and_nothing_for_a_missing_interval(scores, tmp_path):
    write_table(scores, tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text() == (
        "experiment,protocol,task,metric,value,low,high,n\n"
        "zero,sound,object,iou,0.333333,0.250000,0.500000,3\n"
        "all,sound,object,iou,1.000000,,,3\n"
    )


@pytest.mark.parametrize("content", [[], {}, {"protocol": "sound", "tasks": {"object": 3}}])
def test_a_file_without_scores_is_named(tmp_path, content):
    write_json(tmp_path / "scores.json", content)
    with pytest.raises(UserError, match=r"scores\.json holds no scores .*Remedy"):
        table({"a": tmp_path / "scores.json"})


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        table({"a": tmp_path / "scores.json"})
