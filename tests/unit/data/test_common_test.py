"""The common test set of an ablation."""

import pytest

from legor1.core.errors import UserError
from legor1.core.files import read_json, read_jsonl, write_jsonl
from legor1.data.common_test import draw, write_common, write_rows


def rows(*names):
    return [
        {"instance_id": name, "task": name.split("/")[0], "manual": name.split("/")[1]}
        for name in names
    ]


def written(folder, *names):
    path = folder / f"{len(list(folder.iterdir()))}.jsonl"
    write_jsonl(path, rows(*names))
    return path


def test_it_is_what_every_protocol_tests(tmp_path):
    first = written(tmp_path, "object/a/1", "object/b/1", "state/a/1", "state/c/1")
    second = written(tmp_path, "state/a/1", "object/b/1", "object/d/1")
    write_common([first, second], None, 1, tmp_path / "common.json")
    common = read_json(tmp_path / "common.json")
    assert common["instances"] == ["object/b/1", "state/a/1"]
    assert common["tasks"] == common["available"] == {"object": 1, "state": 1}
    assert common["manuals"] == 2


def test_nothing_in_common_is_an_error(tmp_path):
    paths = [written(tmp_path, "object/a/1"), written(tmp_path, "object/b/1")]
    with pytest.raises(UserError, match="no test row in common"):
        write_common(paths, None, 1, tmp_path / "common.json")


def test_tasks_share_the_rows_as_far_as_they_have_them():
    available = {
        f"{task}{i}": task for task, n in (("a", 50), ("b", 3), ("c", 50)) for i in range(n)
    }
    chosen = draw(available, 33, seed=1)
    of = [available[name] for name in chosen]
    assert [of.count(task) for task in "abc"] == [15, 3, 15]
    assert chosen == sorted(chosen)
    assert draw(available, 33, seed=2) != chosen
    assert set(chosen) < set(draw(available, 43, seed=1))
    assert draw(available, None, seed=1) == sorted(available) == draw(available, 1000, seed=1)


def test_conversations_are_taken_in_its_order_whatever_theirs(tmp_path):
    test = written(tmp_path, "state/c/1", "state/b/1", "state/a/1")
    write_common([test], 2, 1, tmp_path / "common.json")
    write_rows(test, tmp_path / "common.json", tmp_path / "out.jsonl")
    names = [row["instance_id"] for row in read_jsonl(tmp_path / "out.jsonl")]
    assert names == read_json(tmp_path / "common.json")["instances"] == sorted(names)
    other = written(tmp_path, "state/z/1")
    with pytest.raises(UserError, match="does not ask about state/"):
        write_rows(other, tmp_path / "common.json", tmp_path / "out.jsonl")
