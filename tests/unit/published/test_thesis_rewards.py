"""The published rewards: reference values of their own code, and examples worked by hand."""

import json
import math
from pathlib import Path

import pytest

from legor1.published.thesis_rewards import SUITE, infer_task, solution

REWARDS = SUITE.rewards

FIXTURES = Path(__file__).parents[2] / "fixtures" / "thesis_scores"


def items(*pairs):
    return json.dumps([{"bbox_2d": list(box), "label": label} for box, label in pairs])


def answer(text):
    return f"<answer>{text}</answer>"


A, B = ((10, 10, 30, 30), "2 red brick"), ((50, 50, 70, 60), "1 blue plate")
TRUE = answer(items(A, B))
# The package adds 1e-8 to a denominator, so that a perfect label is not quite 1.
PERFECT = 2 / (2 + 1e-8)


def test_every_reward_agrees_with_the_published_code():
    for line in (FIXTURES / "rewards.jsonl").open(encoding="utf-8"):
        row = json.loads(line)
        assert infer_task(row["solution"]) == row["task"]
        for name, reward in REWARDS.items():
            found = reward(row["completion"], row["solution"], row["task"])
            assert found == pytest.approx(row[name], abs=1e-9), (name, row)


@pytest.mark.parametrize(
    ("text", "task"),
    [
        (TRUE, "object"),
        ("\n < ANSWER > [ {}\n{ } ] </ Answer >\n", "object"),
        ("<answer>[]</answer>", "grounding"),  # an empty list is none
        ("<answer>[1, 2]</answer>", "grounding"),
        ("<answer>the list [{}]</answer>", "grounding"),
        ("<answer>[{]</answer>", "grounding"),
        ("<answer>[</answer>", "grounding"),
        (items(A), "grounding"),  # without a tag
        (TRUE + " so", "grounding"),
        ("<answer> yes </answer>", "state"),
        ("<Answer>NO.</Answer>", "state"),
        ("<answer>Yes..</answer>", "grounding"),
        ("Yes.", "grounding"),
        ("<answer>Press it.</answer>", "grounding"),
        ("", "grounding"),
    ],
)
def test_the_task_is_inferred_from_the_solution(text, task):
    assert infer_task(text) == task


def test_a_solution_gets_its_tag_once():
    assert solution("Yes.") == "<answer>Yes.</answer>" == solution(solution("Yes."))
    assert infer_task(solution(items(A))) == "object"


@pytest.mark.parametrize(
    ("task", "completion", "expected"),
    [
        ("object", f"<think>hm</think>{TRUE}", 1),
        ("object", "<think></think><answer>[]</answer>", 1),  # true of an empty list
        ("object", TRUE, 0.75),
        ("object", items(A), 0),
        ("object", "<think>hm</think><answer>none</answer>", 0.5),
        ("object", '<think>hm</think><answer>{"bbox_2d": [1, 2, 3, 4]}</answer>', 0.5),
        ("object", '<think>hm</think><answer>[{"bbox": [1, 2, 3, 4]}]</answer>', 0.75),
        ("object", '<think>hm</think><answer>[{"bbox_2d": [1, 2, 3]}]</answer>', 0.75),
        ("object", '<think>hm</think><answer>[{"bbox_2d": ["1", 2, 3, 4]}]</answer>', 0.75),
        ("object", '<think>hm</think><answer>[{"bbox_2d": [1, 2, 3, 4]}, 5]</answer>', 0.75),
        ("object", '<think>hm</think><answer>[{"bbox_2d": [true, 2, NaN, 4]}]</answer>', 1),
        ("object", f"<THINK>hm</THINK>{TRUE}", 0.75),
        ("object", "<think>hm <answer>[]</answer>", 0.75),
        ("object", f"<think>an <answer>x</answer></think>{TRUE}", 0.5),  # the first tag counts
        ("state", "<think></think><answer></answer>", 1),
        ("state", "Yes.", 0),
        ("grounding", "<answer>Press</answer>", 0.5),
        ("grounding", "<answer>Press</ANSWER>", 0),
    ],
)
def test_format(task, completion, expected):
    assert REWARDS["format"](completion, "", task) == expected


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        (TRUE, 1),  # 1 + the bonus, capped
        (answer(items(B, A)), 1),
        (f"<think>{TRUE}</think> <answer>[]</answer>", 1),  # the first tag counts
        (answer(items(A)), (1 + PERFECT) / 2),  # matched_only_reward: half is missing
        (answer(items(A, B, A)), (1 + PERFECT) / 2),
        (answer(items(((10, 10, 30, 20), A[1]), B)), (0.75 + PERFECT) / 2 + 0.1),
        (answer(items((A[0], "green"), B)), (1 + PERFECT / 2) / 2 + 0.1),
        (answer(items((A[0], " 2 red brick\n"), (B[0], ""))), (1 + PERFECT / 2) / 2 + 0.1),
        (answer(items((A[0], "2 red brick"), (B[0], "."))), (1 + PERFECT / 2) / 2 + 0.1),
        (answer(items(((0, 0, 1, 1), "x"), ((1, 1, 2, 2), "y"))), 0.1),
        (answer(items(A, ((30, 30, 10, 10), B[1]))), 0),  # one bad box voids the answer
        (answer(items(A, ((50, 50, 50, 60), B[1]))), 0),
        (answer(items(A, ((50, 50, 70), B[1]))), 0),
        (answer(items(A, (["50", "50", "70", " 60 "], B[1]))), 1),
        (answer(items(A, (["50", "50", "70", "x"], B[1]))), 0),
        (answer(items(A, ([50, 50, 70, None], B[1]))), 0),
        (answer(items(A, ([50, 50, 70, 10**400], B[1]))), 0),
        (answer(items(A, ([50, 50, 70, math.nan], B[1]))), 0),
        (answer(items(A, (B[0], None))), 0),
        (answer(items(A)[:-1] + ', {"bbox_2d": [50, 50, 70, 60]}]'), 0),  # no label
        (answer("[]"), 0),
        (answer(items(A)).replace('"', "'"), 0),
        (answer(items(A) + " so"), 0),
        (answer('{"bbox_2d": [10, 10, 30, 30], "label": "x"}'), 0),
        (answer("[" * 100_000), 0),
        (items(A, B), 0),
        (TRUE.replace("answer", "ANSWER"), 0),
        ("", 0),
    ],
)
def test_object(completion, expected):
    assert REWARDS["object"](completion, TRUE, "object") == pytest.approx(expected, abs=1e-12)


def test_a_box_without_end_overlaps_nothing():
    huge = answer(items(((0, 0, math.inf, math.inf), A[1])))
    assert REWARDS["object"](huge, huge, "object") == pytest.approx(PERFECT / 2 + 0.1)


def test_labels_of_two_empty_texts_agree():
    both = answer(items((A[0], " ")))
    assert REWARDS["object"](both, both, "object") == 1


def test_empty_against_empty_is_1_without_bonus():
    assert REWARDS["object"](answer("[]"), answer("[]"), "object") == 1
    assert REWARDS["object"](TRUE, answer("[]"), "object") == 0


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("No.", 1),
        (" no \n", 1),
        ("NO", 1),
        ("No..", 0),
        ("No .", 0),
        ("Yes.", 0),
        ("no it is not", 0),
        ("<answer>No</answer> Yes", 1),
        ("< answer >No</ answer > Yes", 1),
        ("<ANSWER>No</ANSWER>", 0),
        ("<answer>No", 0),
        ("<answer>maybe</answer><answer>No</answer>", 0),
        ("", 0),
    ],
)
def test_state(completion, expected):
    assert REWARDS["state"](completion, answer("No."), "state") == expected


def test_grounding_by_hand():
    def reward(said, meant):
        return REWARDS["grounding"](said, answer(meant), "grounding")

    text = "Press the red brick down."
    assert reward(text, text) == pytest.approx(PERFECT + 1)
    # ROUGE heeds the case, the tokens of BLEU do not; it splits at full stops, and keeps commas
    assert reward(text.lower(), text) == pytest.approx(2 * (0.8 * 0.8) / (1.6 + 1e-8) + 1)
    # 3 of 4 words; of BLEU's 1 of 3 pairs, then 0.1 of 2 and 0.1 of 1
    rouge, bleu = 2 * (0.75 * 0.75) / (1.5 + 1e-8), (3 / 4 * 1 / 3 * 0.1 / 2 * 0.1) ** 0.25
    assert reward("press the blue brick", "press the red brick") == pytest.approx(rouge + bleu)
    # nothing is left to ROUGE; to BLEU it is one token: 1 of 1, then 0.1 of 1 three times
    assert reward("...", "...") == pytest.approx(0.1**0.75)
    assert reward("", text) == reward("<answer> </answer>", text) == reward(text, " ") == 0


def test_a_reward_gives_0_to_the_tasks_that_are_not_its_own():
    assert REWARDS["object"](TRUE, TRUE, "grounding") == 0
    assert REWARDS["state"]("Yes", answer("Yes"), "object") == 0
    assert REWARDS["grounding"]("a", answer("a"), "state") == 0
