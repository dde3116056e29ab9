"""instances.parquet is read back as it was written."""

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trees import instances

from legor1.core.errors import UserError
from legor1.data.instances import COLUMNS, Row, read_records, write_instances


@pytest.fixture
def table():
    return instances({"m1": 2, "m2": 1})


@pytest.fixture
def path(table, tmp_path):
    numbers = table["step_num"].astype(object).where(table["step_num"].notna(), None)
    rows = [Row(**row) for row in table.assign(step_num=numbers).to_dict("records")]
    write_instances(tmp_path / "instances.parquet", rows, {"object_frame": "pixels"})
    return tmp_path / "instances.parquet"


def test_the_table_is_read_back(path, table):
    read = pd.DataFrame(read_records(path)).astype({"step_num": "Int64"})
    assert list(read) == list(COLUMNS)
    assert read.equals(table[list(COLUMNS)].astype(read.dtypes))
    kept = json.loads(pq.read_schema(path).metadata[b"legor1"])
    assert kept == {"schema_version": 2, "object_frame": "pixels"}


def test_texts_of_any_size_and_kind_are_kept(tmp_path):
    long = Row(
        "a", "b", "m", "i", 1, 2, "\u2028" * 2**20, "2026-01-01", "", None, "1", "", "", True
    )
    rows = [long, long._replace(instance_id="c", prompt="", step_num=7, falsified=False)]
    write_instances(tmp_path / "instances.parquet", rows, {})
    assert read_records(tmp_path / "instances.parquet") == [row._asdict() for row in rows]


def test_records_hold_plain_values_and_none_for_a_missing_number(path, table):
    records = read_records(path)
    assert [row["instance_id"] for row in records] == list(table["instance_id"])
    assert {type(row["step_num"]) for row in records} == {int, type(None)}
    assert {type(row["falsified"]) for row in records} == {bool}
    assert {type(row["image_width"]) for row in records} == {int}
    assert {type(row["prompt"]) for row in records} == {str}


def test_records_of_some_columns(path):
    assert read_records(path, ["task", "manual"])[0] == {"task": "grounding", "manual": "m1"}


def test_the_same_rows_make_the_same_bytes(path, tmp_path):
    again = tmp_path / "again.parquet"
    rows = [Row(**row) for row in read_records(path)]
    write_instances(again, rows, {"object_frame": "pixels"})
    assert again.read_bytes() == path.read_bytes()


def test_what_holds_no_instances_is_named(tmp_path):
    path = tmp_path / "instances.parquet"
    with pytest.raises(UserError, match=r"instances.parquet cannot be read.*Remedy: "):
        read_records(path)
    path.write_text("text")
    with pytest.raises(UserError, match=r"instances.parquet cannot be read.*Remedy: "):
        read_records(path)
    pq.write_table(pa.table({"task": ["object"]}), path)
    with pytest.raises(UserError, match=r"lacks the columns instance_id, manual.*Remedy: "):
        read_records(path)
