"""Conversations with defects: what the thesis did, and each switch by itself."""

import pytest
from test_conversations import SIDES, Conversations, convert, divide, every, records

from legor1.published.defects import SWITCHES

VARIANTS = ("plain", "reasoning")
MANUALS = {f"m{i}": 6 for i in range(6)}
BOX = '{{"bbox_2d": [{0}, 2, 30, 40], "label": "1 pin"}}'


@pytest.fixture(scope="module")
def table():
    """Six steps a manual; objects have one or two boxes, and metadata know true images alone."""
    rows = records(MANUALS)
    for row in rows:
        step = int(row["image"].rpartition("/")[2].partition("_")[0])
        if row["task"] == "object":
            row["response"] = f"[{', '.join(BOX.format(i) for i in range(1 + step % 2))}]"
        if not row["falsified"]:
            row["previous_instruction"] = row["step_previous_instruction"] if step > 1 else ""
    return rows


@pytest.fixture(scope="module")
def split(table):
    """Every third step is tested on: the split is by row."""
    tested = [row for row in table if row["image"].rpartition("/")[2][0] in "36"]
    names = {row["instance_id"] for row in tested}
    return {
        "train": sorted(row["instance_id"] for row in table if row["instance_id"] not in names),
        "test": sorted(names),
    }


@pytest.fixture(scope="module")
def thesis(table, split):
    return {v: every(convert(table, split, v, seed=5, defects=SWITCHES)) for v in VARIANTS}


def one_switch(table, split, *defects, variant="plain"):
    return every(convert(table, split, variant, seed=5, defects=defects))


def shown_of(row):
    return [shown["instance_id"] for shown in row["demonstrations"]]


def own(row):
    return row["instance_id"] in shown_of(row)


def boxes(row):
    return row["response"].count("bbox_2d")


def number(name):
    return int(name.rpartition("/")[2].partition("_")[0])


def test_rows_keep_the_order_of_the_split(table, split):
    made = Conversations(table, split, seed=5, defects=SWITCHES)
    for side in SIDES:
        assert made.order(side) == split[side]


def test_demonstrations_are_of_the_own_manual_test_rows_included(thesis, split):
    tested = set(split["test"])
    for rows in thesis.values():
        assert all(f"/{r['manual']}/" in name for r in rows for name in shown_of(r))
        training = [row for row in rows if row["instance_id"] not in tested]
        assert any(tested & set(shown_of(row)) for row in training)


def test_objects_show_an_answer_with_as_many_boxes(thesis):
    rows = [row for row in thesis["plain"] if row["task"] == "object"]
    assert all(boxes(row) == boxes(row["demonstrations"][0]) for row in rows)
    assert len({name for row in rows for name in shown_of(row)}) > len(MANUALS)


def test_objects_without_their_like_show_any_row_and_a_lone_one_none():
    rows = [row for row in records({"a": 3, "b": 1}) if row["task"] == "object"]
    rows[0]["response"] = f"[{BOX.format(1)}, {BOX.format(2)}]"
    split = {"train": [row["instance_id"] for row in rows], "test": []}
    shown = {r["instance_id"]: shown_of(r) for r in one_switch(rows, split, *SWITCHES)}
    assert shown[rows[0]["instance_id"]][0] in (rows[1]["instance_id"], rows[2]["instance_id"])
    assert shown["object/b/images/1_eop"] == []


def test_grounding_shows_the_previous_step(thesis):
    for rows in thesis.values():
        for row in [row for row in rows if row["task"] == "grounding"]:
            step = number(row["instance_id"])
            before = [f"grounding/{row['manual']}/images/{step - 1}_step"]
            assert shown_of(row) == (before if step > 1 else [])


def test_states_show_a_true_then_a_falsified_image_of_it(thesis):
    steps = []
    for row in [row for row in thesis["reasoning"] if row["task"] == "state"]:
        true, falsified = row["demonstrations"]
        assert (true["response"], falsified["response"]) == (
            "<answer>Yes.</answer>",
            "<answer>No.</answer>",
        )
        steps.append(number(true["instance_id"]) == number(falsified["instance_id"]))
    assert all(steps)


def test_a_true_image_without_a_falsified_one_is_shown_beside_any():
    rows = [row for row in records({"a": 3}) if row["task"] == "state"]
    kept = [
        row for row in rows if row["instance_id"].endswith(("1_step", "2_step", "3_step_fake1"))
    ]
    split = {"train": [row["instance_id"] for row in kept], "test": []}
    shown = {r["instance_id"]: shown_of(r) for r in one_switch(kept, split, *SWITCHES)}
    assert shown["state/a/images/1_step"] == [
        "state/a/images/2_step",
        "state/a/images/3_step_fake1",
    ]


def test_a_query_can_be_its_own_demonstration_in_the_reasoning_variant_alone(thesis):
    assert not any(map(own, thesis["plain"]))
    selves = [row for row in thesis["reasoning"] if own(row)]
    assert {row["task"] for row in selves} == {"object", "state"}


def test_only_true_states_begin_with_the_previous_instruction(thesis, table):
    falsified = {row["instance_id"] for row in table if row["falsified"]}
    for rows in thesis.values():
        for row in [row for row in rows if row["task"] == "state"]:
            told = row["prompt"].startswith("Previous instruction: ")
            first = number(row["instance_id"]) == 1
            assert told is not (row["instance_id"] in falsified or first)


def test_reasoning_lacks_the_directive_that_its_demonstration_has(thesis):
    for row in [row for row in thesis["reasoning"] if row["task"] == "object"]:
        assert row["prompt"].endswith("Output the final answer in JSON format. Which parts?")
        assert row["prompt"].startswith("{Question} First output")
        assert row["demonstrations"][0]["prompt"].startswith("Which parts? Providing the positions")
        assert row["demonstrations"][0]["response"].startswith("<answer>[")


def test_boxes_keep_the_numbers_of_the_original_image(thesis):
    assert {row["box_frame"] for rows in thesis.values() for row in rows} == {"original"}


def test_without_defects_none_of_it_happens(table, split):
    for variant in VARIANTS:
        rows = one_switch(table, split, variant=variant)
        assert not any(map(own, rows))
        assert not any(set(split["test"]) & set(shown_of(row)) for row in rows)
        assert {row["box_frame"] for row in rows} == {"processed"}
        told = [r["prompt"].startswith("Previous") for r in rows if r["task"] != "object"]
        assert all(told)
        assert not any("{" in row["prompt"] for row in rows if row["task"] != "object")
        assert any(
            boxes(row) != boxes(row["demonstrations"][0]) for row in rows if row["task"] == "object"
        )


def test_each_switch_alone_does_what_its_name_says(table, split):
    tested = set(split["test"])
    rows = one_switch(table, split, "self_demo", variant="reasoning")
    assert any(map(own, rows))
    assert not any(map(own, one_switch(table, split, "self_demo")))
    rows = one_switch(table, split, "test_demos_in_training")
    assert any(tested & set(shown_of(row)) for row in rows)
    rows = [r for r in one_switch(table, split, "oracle_demo_count") if r["task"] == "object"]
    assert all(boxes(row) == boxes(row["demonstrations"][0]) for row in rows)
    rows = [r for r in one_switch(table, split, "state_source_shortcut") if r["task"] == "state"]
    assert all(row["demonstrations"][0]["response"] == "Yes." for row in rows)
    rows = one_switch(table, split, "frame_mismatch")
    assert {row["box_frame"] for row in rows} == {"original"}


def test_rows_sorted_by_substring_are_asked_as_states():
    rows = records({"a": 3})
    changed = [row for row in rows if row["task"] != "state"]
    for row in changed:
        row["response"] = row["response"].replace("Do a", "Take piano. Do a")
    split = divide(rows, [])
    asked = {r["instance_id"]: r for r in one_switch(rows, split, "task_by_substring")}
    row = asked["grounding/a/images/2_step"]
    assert row["task"] == "grounding"
    assert row["prompt"] == "Previous instruction: Before 2\nWhat now? Just tell me Yes or No."
    assert len(row["demonstrations"]) == 2
    assert "Providing the positions" in asked["object/a/images/1_eop"]["prompt"]


def test_a_new_manual_changes_nothing_for_the_others(table, split, thesis):
    added = [r | {"previous_instruction": ""} for r in records({"new": 5})]
    wider = {
        "train": sorted([*split["train"], *(row["instance_id"] for row in added)]),
        "test": split["test"],
    }
    for variant in VARIANTS:
        after = one_switch([*table, *added], wider, *SWITCHES, variant=variant)
        assert [row for row in after if row["manual"] != "new"] == thesis[variant]
