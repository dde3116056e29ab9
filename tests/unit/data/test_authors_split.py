"""The split that the dataset's authors give, in the forms that are understood."""

import json

import pytest
from trees import check_schema, instances, turns

from legor1.core.errors import UserError
from legor1.data.split import split


@pytest.fixture
def table():
    rows = instances({"a": 2, "b": 2}).to_dict("records")
    for row in rows:
        row["image"] = row["image"].replace(f"{row['task']}/", "lego/", 1)
    return rows


def uri(row):
    return "file:///mnt/" + row["image"]


def write(tree, table, form):
    """Manual a is trained on, b is tested on."""
    (tree / "train_test_example").mkdir(parents=True, exist_ok=True)
    for task in ("grounding", "object", "state"):
        for side, manual in (("train", "a"), ("test", "b")):
            rows = [row for row in table if (row["task"], row["manual"]) == (task, manual)]
            text = form(rows)
            (tree / f"train_test_example/{task}_{side}.json").write_text(text)


FORMS = {
    "an array of dialogues": lambda rows: json.dumps([turns(uri(r), "?", "!") for r in rows]),
    "a stream of dialogues": lambda rows: "\n\n".join(
        json.dumps(turns(uri(r), "?", "!"), indent=1) for r in rows
    ),
    "an array of paths": lambda rows: json.dumps([uri(r) for r in rows]),
    "a stream of paths": lambda rows: "\n".join(json.dumps(r["image"]) for r in rows),
}


@pytest.mark.parametrize("form", FORMS)
def test_it_is_taken_as_it_is(form, table, tmp_path):
    write(tmp_path, table, FORMS[form])
    sides = split(table, protocol="authors", seed=0, test_fraction=0.25, tree=tmp_path)
    assert {name.split("/")[1] for name in sides["train"]} == {"a"}
    assert {name.split("/")[1] for name in sides["test"]} == {"b"}
    assert sides["authors"] == {"rows": 16, "unmatched": 0, "unassigned": 0}
    check_schema("split", sides)


def test_rows_of_other_images_are_counted_and_true_states_go_with_their_falsified(table, tmp_path):
    def form(rows):
        named = [row for row in rows if row["task"] != "state" or row["falsified"]]
        return json.dumps([uri(row) for row in named] + ["lego/c/images/9_step.png"])

    write(tmp_path, table, form)
    sides = split(table, protocol="authors", seed=0, test_fraction=0.25, tree=tmp_path)
    assert sides["authors"] == {"rows": 18, "unmatched": 6, "unassigned": 0}
    assert "state/a/images/1_step" in sides["train"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"id": 1, "conversations": []}]', "dict with the keys id, conversations"),
        ("no json", "not JSON"),
        ("[3]", "value 1 is int"),
    ],
)
def test_what_is_not_understood_is_said_with_what_would_be(text, said, table, tmp_path):
    write(tmp_path, table, FORMS["an array of paths"])
    (tmp_path / "train_test_example/object_test.json").write_text(text)
    with pytest.raises(UserError, match=rf"object_test.json is not understood: .*{said}.*Remedy"):
        split(table, protocol="authors", seed=0, test_fraction=0.25, tree=tmp_path)


def test_a_missing_file_or_tree_and_an_image_on_both_sides_are_named(table, tmp_path):
    write(tmp_path, table, FORMS["an array of paths"])
    options = {"protocol": "authors", "seed": 0, "test_fraction": 0.25}
    with pytest.raises(UserError, match="--tree"):
        split(table, **options)
    both = tmp_path / "train_test_example/object_test.json"
    both.write_text((tmp_path / "train_test_example/object_train.json").read_text())
    with pytest.raises(UserError, match="on the other side too"):
        split(table, tree=tmp_path, **options)
    both.unlink()
    with pytest.raises(UserError, match=r"object_test\.json"):
        split(table, tree=tmp_path, **options)
