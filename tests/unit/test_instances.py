"""instances.parquet is read back as it was written, by pandas and without."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trees import instances

from legor1.data.instances import (
    COLUMNS,
    read_instances,
    read_records,
    read_summary,
    write_instances,
)
from legor1.errors import UserError


@pytest.fixture
def table():
    return instances({"m1": 2, "m2": 1})


@pytest.fixture
def path(table, tmp_path):
    numbers = table["step_num"].astype(object).where(table["step_num"].notna(), None)
    rows = table.assign(step_num=numbers).to_dict("records")
    write_instances(tmp_path / "instances.parquet", rows, {"object_frame": "pixels"})
    return tmp_path / "instances.parquet"


def test_the_table_is_read_back(path, table):
    read = read_instances(path)
    assert list(read) == list(COLUMNS)
    assert read.equals(table[list(COLUMNS)])
    assert read.attrs == read_summary(path) == {"schema_version": 2, "object_frame": "pixels"}


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
    write_instances(again, read_records(path), {"object_frame": "pixels"})
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("read", [read_instances, read_records, read_summary])
def test_what_holds_no_instances_is_named(read, tmp_path):
    path = tmp_path / "instances.parquet"
    with pytest.raises(UserError, match=r"instances.parquet cannot be read.*Remedy: "):
        read(path)
    path.write_text("text")
    with pytest.raises(UserError, match=r"instances.parquet cannot be read.*Remedy: "):
        read(path)
    pq.write_table(pa.table({"task": ["object"]}), path)
    with pytest.raises(UserError, match=r"lacks the columns instance_id, manual.*Remedy: "):
        read(path)
