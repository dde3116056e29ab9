"""The sound rewards with one of the published defects: what each pays that it should not."""

import json

import pytest

from legor1.evaluation import suites
from legor1.evaluation.suites import SUITES

PAIR = [
    {"bbox_2d": [0, 0, 10, 10], "label": "1 brick"},
    {"bbox_2d": [20, 20, 30, 30], "label": "2 plates"},
]


def paid(suite, completion, solution, task="object"):
    sample = {"completion": completion, "solution": solution, "task": task}
    return suites.call(SUITES[suite].rewards[task], sample)


def test_a_missing_box_costs_half_soundly_and_the_bonus_alone_with_the_defect():
    half, whole = json.dumps(PAIR[:1]), json.dumps(PAIR)
    assert paid("sound", half, whole) == pytest.approx(0.5)
    assert paid("matched_only_reward", half, whole) == pytest.approx(1.0)  # IoU 1, words 1
    far = json.dumps([{**PAIR[0], "bbox_2d": [0, 0, 10, 5]}])
    assert paid("matched_only_reward", far, whole) == pytest.approx((0.5 + 1) / 2)
    assert paid("matched_only_reward", far, json.dumps(PAIR[:1])) == pytest.approx(0.75 + 0.1)


@pytest.mark.parametrize("box", [[10, 0, 0, 10], [0, 5, 10, 5]])
def test_one_bad_box_voids_the_answer(box):
    answer = json.dumps([PAIR[0], {"bbox_2d": box, "label": "2 plates"}])
    assert paid("matched_only_reward", answer, json.dumps(PAIR)) == 0.0


@pytest.mark.parametrize(("answer", "reward"), [("[]", 1.0), ("no", 0.0)])
def test_nothing_to_find(answer, reward):
    assert paid("matched_only_reward", answer, "[]") == reward
    assert paid("matched_only_reward", json.dumps(PAIR), "[]") == 0.0


def test_other_tasks_are_left_out_unless_the_task_is_guessed():
    sample = {"completion": "Yes.", "solution": "Yes.", "task": "state"}
    assert suites.call(SUITES["matched_only_reward"].rewards["object"], sample) is None
    with pytest.raises(ValueError, match="not the solution"):
        paid("sound", "Yes.", "Yes.", "object")
    for suite in ("batch_task", "matched_only_reward_batch_task"):
        assert SUITES[suite].infer_task
        assert paid(suite, "Yes.", "Yes.", "object") == 0.0
        assert paid(suite, "Yes.", "Yes.", "state") == 1.0
