"""Conversations without defects: the query, the answer, demonstrations that give nothing away."""

from itertools import pairwise

import pytest
from trees import check_schema, instances

from legor1.core.errors import UserError
from legor1.core.files import read_jsonl
from legor1.data.conversations import SIDES, Conversations, write_conversations
from legor1.data.demonstrations import step_name
from legor1.data.instances import COPY
from legor1.tasks import prompts
from legor1.tasks.discovery import TASKS

MANUALS = {f"m{i}": 4 for i in range(8)}
TEST = ("m6", "m7")


def records(manuals):
    """Return the rows of a table without a tree, as plain Python values."""
    table = instances(manuals).astype(object)
    return table.where(table.notna(), None).to_dict("records")


def divide(rows, tested=TEST):
    ids = {True: [], False: []}
    for row in rows:
        ids[row["manual"] in tested].append(row["instance_id"])
    return {"train": sorted(ids[False]), "test": sorted(ids[True])}


def convert(rows, split, variant="plain", **options):
    """Return side → conversations of one variant."""
    made = Conversations(rows, split, **options)
    return {side: [made.conversation(name)[variant] for name in made.order(side)] for side in SIDES}


@pytest.fixture(scope="module")
def table():
    return records(MANUALS)


@pytest.fixture(scope="module")
def conversations(table):
    return convert(table, divide(table), seed=3)


def every(conversations, task=None):
    rows = [*conversations["train"], *conversations["test"]]
    return [row for row in rows if task in (None, row["task"])]


def test_each_side_has_its_rows_once_in_an_order_that_tells_nothing(table, conversations):
    for side, names in divide(table).items():
        written = [row["instance_id"] for row in conversations[side]]
        assert sorted(written) == names
        assert written != names
    states = [row["response"] for row in conversations["train"] if row["task"] == "state"]
    changes = sum(a != b for a, b in pairwise(states))
    assert 0.3 < changes / len(states) < 0.7


def test_a_conversation(conversations):
    row = next(
        r for r in conversations["train"] if r["instance_id"] == "state/m0/images/2_step_fake1"
    )
    shown = row["demonstrations"]
    assert {key: value for key, value in row.items() if key != "demonstrations"} == {
        "schema_version": 1,
        "instance_id": "state/m0/images/2_step_fake1",
        "task": "state",
        "manual": "m0",
        "variant": "plain",
        "box_frame": "processed",
        "image": "state/m0/images/2_step_fake1.png",
        "width": 400,
        "height": 300,
        "prompt": "Previous instruction: Before 2\nIs it right? Just tell me Yes or No.",
        "response": "No.",
    }
    assert {d["response"] for d in shown} == {"Yes.", "No."}
    assert all(d["prompt"].startswith("Previous instruction: Before ") for d in shown)


def test_demonstrations_come_from_train_and_from_another_step(table, conversations):
    rows = {row["instance_id"]: row for row in table}
    train = set(divide(table)["train"])
    for row in every(conversations):
        assert len(row["demonstrations"]) == (2 if row["task"] == "state" else 1)
        for shown in row["demonstrations"]:
            other = rows[shown["instance_id"]]
            assert shown["instance_id"] in train
            assert other["task"] == row["task"]
            query = rows[row["instance_id"]]
            same_step = step_name(other, row["task"]) == step_name(query, row["task"])
            assert not (other["manual"] == row["manual"] and same_step)


def test_the_own_manual_is_preferred_where_it_is_trained_on(conversations):
    for row in conversations["train"]:
        assert {d["instance_id"].split("/")[1] for d in row["demonstrations"]} == {row["manual"]}


def test_a_manual_with_one_step_borrows_from_another():
    table = records({"a": 1, "b": 3, "c": 1})
    conversations = convert(table, divide(table, ["c"]), seed=0)
    for row in every(conversations):
        (lender,) = {d["instance_id"].split("/")[1] for d in row["demonstrations"]}
        assert lender in {"a": "b", "b": "b", "c": "ab"}[row["manual"]]


def test_state_shows_one_step_true_and_falsified_in_either_order(conversations):
    orders = []
    for row in every(conversations, "state"):
        names = {d["instance_id"].removesuffix("_fake1") for d in row["demonstrations"]}
        assert len(names) == 1
        orders.append(tuple(d["response"] for d in row["demonstrations"]))
    assert 0.3 < orders.count(("Yes.", "No.")) / len(orders) < 0.7
    assert set(orders) == {("Yes.", "No."), ("No.", "Yes.")}


def test_state_steps_without_both_sides_are_not_shown():
    table = records({"a": 3, "b": 1})
    lone = ["state/a/images/1_step", "state/a/images/2_step_fake1"]
    table = [row for row in table if row["instance_id"] not in lone]
    conversations = convert(table, divide(table, ["b"]), seed=0)
    for row in every(conversations, "state"):
        shown = {d["instance_id"] for d in row["demonstrations"]}
        own = row["instance_id"].startswith("state/a/images/3_step")
        assert shown == (set() if own else {"state/a/images/3_step", "state/a/images/3_step_fake1"})


def test_no_answer_has_a_say_in_the_choice(table, conversations):
    other = [row | {"response": "?"} for row in table]
    again = convert(other, divide(table), seed=3)
    for row, twin in zip(every(conversations), every(again), strict=True):
        ids = [[d["instance_id"] for d in r["demonstrations"]] for r in (row, twin)]
        assert ids[0] == ids[1]


def test_the_two_sides_of_a_state_get_the_same_words(conversations):
    prompts_of = {row["instance_id"]: row["prompt"] for row in every(conversations, "state")}
    for name, prompt in prompts_of.items():
        assert prompt == prompts_of[name.removesuffix("_fake1")]


def test_the_seed_decides_and_nothing_else(table, conversations):
    split = divide(table)
    backwards = {side: names[::-1] for side, names in split.items()}
    assert convert(table[::-1], backwards, seed=3) == conversations
    assert convert(table, split, seed=4) != conversations


def test_a_new_manual_changes_only_what_draws_on_it(table, conversations):
    wider = [*table, *records({"new": 4})]
    after = {row["instance_id"]: row for row in every(convert(wider, divide(wider), seed=3))}
    changed = [row for row in every(conversations) if after[row["instance_id"]] != row]
    for row in changed:
        assert "/new/" in after[row["instance_id"]]["demonstrations"][0]["instance_id"]
        assert row["manual"] in TEST
    assert len(changed) < len(conversations["test"])


def test_lenders_vary(conversations):
    lenders = {
        d["instance_id"].split("/")[1] for r in conversations["test"] for d in r["demonstrations"]
    }
    assert len(lenders) > 1


def test_a_state_is_shown_by_pairs_of_one_size_where_there_are_such():
    table = records({"a": 3, "b": 2})
    for row in table:
        if row["instance_id"] in ("state/a/images/1_step", "state/b/images/1_step"):
            row["image_width"] = 500
    conversations = convert(table, divide(table, ["b"]), seed=0)
    for row in every(conversations, "state"):
        assert len({(d["width"], d["height"]) for d in row["demonstrations"]}) == 1


def test_a_true_state_in_both_folders_is_asked_once_unless_folders_may_tell():
    table = records({"a": 3, "b": 2})
    copies = [row for row in table if row["task"] == "state" and not row["falsified"]]
    table += [row | {"instance_id": row["instance_id"] + COPY} for row in copies]
    originals = {row["instance_id"] for row in copies}

    def asked(*defects):
        made = convert(table, divide(table, ["b"]), seed=0, defects=defects)
        shown = {d["instance_id"] for row in every(made) for d in row["demonstrations"]}
        return {row["instance_id"] for row in every(made)} | shown

    assert asked() == {row["instance_id"] for row in table} - originals
    assert asked("state_source_shortcut") == {row["instance_id"] for row in table}


def test_reasoning_asks_for_thinking_and_shows_examples_that_do_not(table, conversations):
    thinking = convert(table, divide(table), variant="reasoning", seed=3)
    for plain, row in zip(every(conversations), every(thinking), strict=True):
        assert row["variant"] == "reasoning"
        assert row["prompt"].startswith(plain["prompt"])
        assert prompts.REASONING in row["prompt"]
        assert (prompts.AS_JSON in row["prompt"]) is (row["task"] == "object")
        assert "{Question}" not in row["prompt"]
        assert row["response"] == f"<answer>{plain['response']}</answer>"
        assert row["demonstrations"] == plain["demonstrations"]


def test_boxes_can_be_written_as_tags(table):
    conversations = convert(table, divide(table), seed=3, object_format="tags")
    for row in every(conversations):
        assert row["box_frame"] == "percent"
        assert (TASKS["object"].prompt.tags in row["prompt"]) is (row["task"] == "object")
    (row,) = [r for r in conversations["train"] if r["instance_id"] == "object/m0/images/1_eop"]
    assert row["response"] == '[{"bbox_2d": [1, 2, 30, 40], "label": "m0 1_eop"}]'


def test_a_split_of_other_instances_is_said(table):
    with pytest.raises(UserError, match=r"names object/none, .*Remedy: "):
        convert(table, {"train": ["object/none"], "test": []}, seed=0)


def test_the_files_are_read_back_and_the_same_bytes_each_time(table, tmp_path):
    split = divide(table)
    for folder in ("one", "two"):
        made = Conversations(table, split, seed=3)
        counts = write_conversations(made, tmp_path / folder)
        assert counts == {"train": 96, "test": 32, "doubles": 0}
    for variant in prompts.VARIANTS:
        for side, rows in convert(table, split, variant, seed=3).items():
            path = tmp_path / "one" / variant / f"{side}.jsonl"
            assert read_jsonl(path) == rows
            check_schema("conversation", *rows)
            assert path.read_bytes() == (tmp_path / "two" / variant / path.name).read_bytes()
