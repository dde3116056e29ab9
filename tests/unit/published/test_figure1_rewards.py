import json

import pytest

from legor1.evaluation.suites import SUITES

FIRST = SUITES["figure1_configuration1"].rewards["object"]
SECOND = SUITES["figure1_configuration2"].rewards["object"]


def tags(*boxes):
    return " ".join(f"<p>brick</p> {{{''.join(f'<{x}>' for x in box)}}}" for box in boxes)


A, B = (10, 10, 30, 30), (50, 50, 70, 60)
TRUE = tags(A, B)


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        (TRUE, 1 + 0.8 + 0.1),
        (tags(B, A), 1 + 0.8 + 0.1),
        (tags(A), 1 + 0.4),  # over matched pairs alone, and no bonus
        (tags(A, B, A), 1 + 1.2),
        (tags((10, 10, 30, 20), B), 0.75 + 0.8 + 0.1),
        (tags((30, 30, 10, 10), B), 0.5 + 0.8 + 0.1),  # inverted: overlaps nothing, but is inside
        (tags((90, 90, 99, 99), (91, 91, 92, 92)), 0 + 0.8 + 0.1),
        (tags((100, 200, 300, 300), B), 0.5 * 0.5 + 0.5 + 0.1),  # 100 lies inside
        (tags((-10, -10, 30, 30), B), 0.5 * (400 / 900 + 1) / 2 + 0.6 + 0.1),  # clipped to 0
        ("<answer>" + TRUE + "</answer>", 1.9),
        (TRUE + " <p>a</p> {<1><2>", 0),
        ('[{"bbox_2d": [10, 10, 30, 30], "label": "brick"}]', 0),
        ("", 0),
    ],
)
def test_configuration_1(completion, expected):
    assert FIRST(completion, TRUE, "object") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        (TRUE, 1),  # with the bonus, capped
        (tags(B, A), 1),
        (tags(A), 1),  # half is missing
        (tags(A, A), 0.5 + 0.1),
        (tags((10, 10, 30, 20), B), 0.75 + 0.1),
        (tags((10, 10, 30, 20)), 0.5),
        (tags((100, 200, 300, 300), B), 0.5 + 0.1),  # no penalty
        (tags((30, 30, 10, 10), B), 0),  # degenerate
        (tags((10, 10, 10, 30), B), 0),
        (TRUE + " <p>a</p> {<1><2>", 0),
        (TRUE + " <p>a</p> {<1><2><3><x>}", 0),
        ("no brick", 0),
    ],
)
def test_configuration_2(completion, expected):
    assert SECOND(completion, TRUE, "object") == pytest.approx(expected)


def test_only_boxes_are_rewarded():
    for reward in (FIRST, SECOND):
        assert reward("Yes.", "Yes.", "state") is None
        assert reward(TRUE, "Press it.", "object") == 0


def test_every_suite_has_the_rewards_that_it_names():
    four = {"format", "object", "state", "grounding"}
    all_tasks = four | {"question"}
    assert {name: set(suite.rewards) for name, suite in SUITES.items()} == {
        "sound": all_tasks,
        "thesis": four,
        "batch_task": all_tasks,
        "matched_only_reward": all_tasks,
        "matched_only_reward_batch_task": all_tasks,
        "figure1_configuration1": {"object"},
        "figure1_configuration2": {"object"},
    }


def test_training_turns_json_in_pixels_into_percent_first():
    from legor1.training.grpo import batched

    answer = json.dumps([{"bbox_2d": [14, 28, 70, 42], "label": "brick"}])
    off = json.dumps([{"bbox_2d": [14, 28, 140, 42], "label": "brick"}])
    columns = {"solution": [answer] * 4, "task": ["object"] * 4, "size": [[140, 84]] * 4}
    said = [answer, tags((10, 33, 50, 50)), off, "no box"]
    columns["completions"] = [[{"role": "assistant", "content": text}] for text in said]
    rewards = {n: batched("object", SUITES[f"figure1_configuration{n}"])(**columns) for n in (1, 2)}
    assert rewards[1] == pytest.approx([1.5, 1.5, 40 / 90 + 0.5, 0])
    assert rewards[2] == pytest.approx([1, 1, 40 / 90 + 0.1, 0])
