import math

import pytest

from legor1.core.errors import UserError
from legor1.core.files import write_json
from legor1.evaluation.table import COLUMNS, table, write_table


@pytest.fixture
def scores(tmp_path):
    def write(name, protocol, **metrics):
        path = tmp_path / name / protocol / "scores.json"
        task = {"n": 3, "clusters": 2, "left_out": 1, "frame": {"best": None}} | metrics
        write_json(path, {"protocol": protocol, "tasks": {"object": task}})
        return name, path

    ends = {"low": 0.25, "high": 0.5}
    return [
        write("zero", "sound", iou=1 / 3, f1_75=None, intervals={"iou": ends}, frame={}),
        write("zero", "thesis", iou=2.5),
    ]


def test_one_row_a_number_in_the_order_given(scores):
    frame = table(scores)
    assert tuple(frame) == COLUMNS
    assert frame.iloc[0].tolist() == ["zero", "sound", "object", "iou", 1 / 3, 0.25, 0.5, 3]
    assert frame["metric"].tolist() == ["iou", "f1_75", "iou"]
    assert frame["protocol"].tolist() == ["sound", "sound", "thesis"]
    assert math.isnan(frame.loc[1, "value"]) and math.isnan(frame.loc[2, "low"])


def test_the_file_has_six_decimals_and_nothing_for_a_missing_interval(scores, tmp_path):
    write_table(scores, tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text() == (
        "experiment,protocol,task,metric,value,low,high,n\n"
        "zero,sound,object,iou,0.333333,0.250000,0.500000,3\n"
        "zero,sound,object,f1_75,,,,3\n"
        "zero,thesis,object,iou,2.500000,,,3\n"
    )


@pytest.mark.parametrize("content", [[], {}, {"protocol": "sound", "tasks": {"object": 3}}])
def test_a_file_without_scores_is_named(tmp_path, content):
    write_json(tmp_path / "scores.json", content)
    with pytest.raises(UserError, match=r"scores\.json holds no scores .*Remedy"):
        table([("a", tmp_path / "scores.json")])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        table([("a", tmp_path / "scores.json")])
