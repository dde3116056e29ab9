"""The rewards as the trainer calls them, and as the probe does."""

from pathlib import Path

import pytest

from legor1.core.files import read_jsonl
from legor1.evaluation.reward_probe import paid
from legor1.evaluation.suites import SUITES

FIXTURE = Path(__file__).parents[2] / "fixtures/thesis_scores/rewards.jsonl"
NAMES = ("format", "object", "state", "grounding")
EMPTY = {"task": "state"}


def test_the_probe_gives_the_published_values():
    suite = SUITES["thesis"]
    for row in read_jsonl(FIXTURE):
        found = paid(suite, suite.rewards, EMPTY, row["completion"], row["solution"])
        assert found == pytest.approx({name: row[name] for name in NAMES}, abs=1e-9)


def test_sound_takes_the_task_that_is_given_and_thesis_does_not():
    row, solution = {"task": "grounding"}, "<answer>Yes.</answer>"
    sound, thesis = SUITES["sound"], SUITES["thesis"]
    assert paid(sound, sound.rewards, row, "yes", solution)["state"] is None
    assert paid(thesis, thesis.rewards, row, "yes", solution)["state"] == 1


def test_thesis_gives_0_where_sound_gives_none():
    sound, thesis = SUITES["sound"], SUITES["thesis"]
    found = paid(sound, sound.rewards, EMPTY, "Yes.", "<answer>Yes.</answer>")
    assert [found[name] for name in NAMES] == [1, None, 1, None]
    found = paid(thesis, thesis.rewards, EMPTY, "Yes.", "<answer>Yes.</answer>")
    assert [found[name] for name in NAMES] == [0, 0, 1, 0]


def test_a_suite_of_the_first_iteration_has_object_alone():
    suite, text = SUITES["figure1_configuration2"], "<p>a</p> {<1><2><3><4>}"
    assert paid(suite, suite.rewards, {"task": "object"}, text, text) == {"object": 1}


def test_the_trainer_gets_the_same_rewards():
    grpo = pytest.importorskip("legor1.training.grpo")
    rows = read_jsonl(FIXTURE)
    columns = {
        "completions": [[{"role": "assistant", "content": row["completion"]}] for row in rows],
        "solution": [row["solution"] for row in rows],
        "task": [row["task"] for row in rows],
        "prompts": None,
    }
    sound = grpo.batched("object", SUITES["sound"])(**columns)
    assert sound.count(None) == sum(row["task"] != "object" for row in rows)
    thesis = grpo.batched("object", SUITES["thesis"])(**columns)
    assert thesis == pytest.approx([row["object"] for row in rows], abs=1e-9)
    # batch_task: the first of the batch decides for all
    assert rows[0]["task"] == "object"
    assert set(grpo.batched("state", SUITES["thesis"])(**columns)) == {0}
    assert sum(row["state"] for row in rows) > 0
    assert grpo.batched("state", SUITES["thesis"]).__name__ == "state"
