"""Conversations: the query, the answer, and demonstrations that give nothing away."""

import time

import pandas as pd
import pytest
from trees import check_schema, instances

from legor1 import prompts
from legor1.data.convert import convert, step_name, write_conversations
from legor1.errors import UserError
from legor1.files import read_jsonl

MANUALS = {f"m{i}": 4 for i in range(8)}
TEST = ("m6", "m7")


def divide(table, tested=TEST):
    in_test = table["manual"].isin(tested)
    ids = table["instance_id"]
    return {"train": sorted(ids[~in_test]), "test": sorted(ids[in_test])}


@pytest.fixture(scope="module")
def table():
    return instances(MANUALS)


@pytest.fixture(scope="module")
def conversations(table):
    return convert(table, divide(table), seed=3)


def every(conversations, task=None):
    rows = [*conversations["train"], *conversations["test"]]
    return [row for row in rows if task in (None, row["task"])]


def test_rows_stand_in_the_order_of_the_split(table, conversations):
    for side, names in divide(table).items():
        assert [row["instance_id"] for row in conversations[side]] == names


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
        "image": "state/m0/images/2_step_fake1.png",
        "width": 400,
        "height": 300,
        "prompt": "Previous instruction: Before 2\nIs it right? Just tell me Yes or No.",
        "response": "No.",
    }
    assert {d["response"] for d in shown} == {"Yes.", "No."}
    assert all(d["prompt"].startswith("Previous instruction: Before ") for d in shown)


def test_demonstrations_come_from_train_and_from_another_step(table, conversations):
    rows = {row["instance_id"]: row for row in table.to_dict("records")}
    train = set(divide(table)["train"])
    for row in every(conversations):
        assert len(row["demonstrations"]) == (2 if row["task"] == "state" else 1)
        for shown in row["demonstrations"]:
            other = rows[shown["instance_id"]]
            assert shown["instance_id"] in train
            assert other["task"] == row["task"]
            query = rows[row["instance_id"]]
            same_step = step_name(other) == step_name(query)
            assert not (other["manual"] == row["manual"] and same_step)


def test_the_own_manual_is_preferred_where_it_is_trained_on(conversations):
    for row in conversations["train"]:
        assert {d["instance_id"].split("/")[1] for d in row["demonstrations"]} == {row["manual"]}


def test_a_manual_with_one_step_borrows_from_another():
    table = instances({"a": 1, "b": 3, "c": 1})
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
    table = instances({"a": 3, "b": 1})
    lone = table["instance_id"].isin(["state/a/images/1_step", "state/a/images/2_step_fake1"])
    conversations = convert(table[~lone], divide(table[~lone], ["b"]), seed=0)
    for row in every(conversations, "state"):
        shown = {d["instance_id"] for d in row["demonstrations"]}
        own = row["instance_id"].startswith("state/a/images/3_step")
        assert shown == (set() if own else {"state/a/images/3_step", "state/a/images/3_step_fake1"})


def test_no_answer_has_a_say_in_the_choice(table, conversations):
    other = table.assign(response="?")
    again = convert(other, divide(table), seed=3)
    for row, twin in zip(every(conversations), every(again), strict=True):
        ids = [[d["instance_id"] for d in r["demonstrations"]] for r in (row, twin)]
        assert ids[0] == ids[1]


def test_the_two_sides_of_a_state_get_the_same_words(conversations):
    prompts_of = {row["instance_id"]: row["prompt"] for row in every(conversations, "state")}
    for name, prompt in prompts_of.items():
        assert prompt == prompts_of[name.removesuffix("_fake1")]


def test_the_seed_decides_and_nothing_else(table, conversations):
    shuffled = table.sample(frac=1, random_state=1)
    assert convert(shuffled, divide(table), seed=3) == conversations
    assert convert(table, divide(table), seed=4) != conversations


def test_a_new_manual_changes_only_what_draws_on_it(table, conversations):
    wider = pd.concat([table, instances({"new": 4})], ignore_index=True)
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


def test_reasoning_asks_for_thinking_and_wraps_the_answer(table):
    conversations = convert(table, divide(table), variant="reasoning", seed=3)
    for row in every(conversations):
        for turn in (row, *row["demonstrations"]):
            assert turn["prompt"].endswith(prompts.REASONING)
            assert turn["response"].startswith("<answer>")
            assert turn["response"].endswith("</answer>")


def test_what_cannot_be_converted_is_said(table):
    with pytest.raises(UserError, match=r"names object/none, .*Remedy: "):
        convert(table, {"train": ["object/none"], "test": []}, seed=0)
    with pytest.raises(UserError, match=r"Unknown variant 'chatty'.*reasoning"):
        convert(table, divide(table), variant="chatty", seed=0)
    with pytest.raises(UserError, match="Unknown protocol 'oracle'"):
        convert(table, divide(table), protocol="oracle", seed=0)


def test_the_files_are_read_back(conversations, tmp_path):
    counts = write_conversations(conversations, tmp_path)
    assert counts == {"train": 96, "test": 32}
    for side, rows in conversations.items():
        assert read_jsonl(tmp_path / f"{side}.jsonl") == rows
        check_schema("conversation", *rows)


def test_the_whole_dataset_takes_seconds():
    table = instances({f"m{i}": 90 for i in range(100)})
    start = time.monotonic()
    conversations = convert(table, divide(table, [f"m{i}" for i in range(25)]), seed=0)
    assert len(every(conversations)) == 36_000
    assert time.monotonic() - start < 30
