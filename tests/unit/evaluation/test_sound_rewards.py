import json
import random

import pytest

from legor1.evaluation.suites import SUITES

REWARDS = SUITES["sound"].rewards


def items(*pairs):
    return json.dumps([{"bbox_2d": list(box), "label": label} for box, label in pairs])


A, B = ((10, 10, 30, 30), "2 red brick"), ((50, 50, 70, 60), "1 blue plate")
SOLUTION = items(A, B)


@pytest.mark.parametrize(
    ("task", "completion", "expected"),
    [
        ("object", SOLUTION, 1),
        ("object", "[]", 1),
        ("object", f"```json\n{SOLUTION}\n```", 0.5),
        ("object", SOLUTION[:-1], 0.5),
        ("object", "I see two", 0),
        ("state", "No.", 1),
        ("state", "no, it is not", 0.5),
        ("state", "perhaps", 0),
        ("grounding", "Press two bricks, then (gently) stop.", 1),
        ("grounding", "<answer>Press it.</answer>", 1),
        ("grounding", '[{"label": "press"}]', 0),
        ("grounding", "Press <b>it</b>", 0),
        ("grounding", " ... ", 0),
    ],
)
def test_format(task, completion, expected):
    assert REWARDS["format"](completion, "", task) == expected


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        (SOLUTION, 1),
        (items(B, A), 1),
        (f"<think>hm</think><answer>{SOLUTION}</answer>", 1),
        (items(A), 0.5),
        (items(A, B, A), 2 / 3),
        (items((A[0], "green"), (B[0], "green")), 0.8),
        (items((A[0], "red brick"), B), (0.8 + 0.2 * 0.8 + 1) / 2),
        (items(((10, 10, 30, 20), A[1]), B), 0.75),
        (items(((0, 0, 1, 1), A[1]), ((1, 1, 2, 2), B[1])), 0),
        (items(((30, 30, 10, 10), A[1])), 0),
        ("none", 0),
    ],
)
def test_object(completion, expected):
    assert REWARDS["object"](completion, SOLUTION, "object") == pytest.approx(expected)


def test_a_label_breaks_the_tie_of_two_equal_boxes():
    solution = items((A[0], "red"), (A[0], "blue"))
    assert REWARDS["object"](items((A[0], "blue"), (A[0], "red")), solution, "object") == 1


def test_empty_against_empty_is_right():
    assert REWARDS["object"]("[]", "[]", "object") == 1
    assert REWARDS["object"](SOLUTION, "[]", "object") == 0


@pytest.mark.parametrize(
    "completion",
    [
        "[]",
        items(*[((x, y, x + 20, y + 20), A[1]) for x in range(0, 80, 2) for y in range(0, 80, 3)]),
        items(*[A] * 50),
        items(((0, 0, 100, 100), A[1]), ((0, 0, 100, 100), B[1])),
        items(((0, 0, 100, 100), f"{A[1]} {B[1]} " * 50)),
        'positions in the format: [{"bbox_2d": [x1, y1, x2, y2], "label": "1 object name"}]',
    ],
)
def test_object_cannot_be_gamed(completion):
    guess = items(((12, 12, 34, 34), "brick"))  # one honest, rough guess of the two
    rough = REWARDS["object"](guess, SOLUTION, "object")
    assert REWARDS["object"](completion, SOLUTION, "object") < 0.05 < rough / 4


@pytest.mark.parametrize(
    "completion",
    [
        "",
        "the " * 200,
        "press the red brick " * 50,
        " ".join(f"{n} {colour} brick" for n in range(9) for colour in ("red", "blue", "grey")),
        "First output the thinking process in <think> </think> tags and then output the final "
        "answer in <answer> </answer> tags.",
    ],
)
def test_grounding_cannot_be_gamed(completion):
    solution = "Press 2 red bricks onto the left end of the blue plate."
    rough = REWARDS["grounding"]("Put two red bricks on the blue plate.", solution, "grounding")
    assert REWARDS["grounding"](completion, solution, "grounding") < 0.3 < rough


def test_state_cannot_be_gamed():
    both = [REWARDS["state"]("Yes. No.", solution, "state") for solution in ("Yes.", "No.")]
    assert both == [1, 0]  # the first word is the answer


@pytest.mark.parametrize("solution", ["perhaps", "", "[]"])
def test_a_state_solution_that_is_neither_is_an_error(solution):
    with pytest.raises(ValueError, match="not the solution"):
        REWARDS["state"]("Yes.", solution, "state")


@pytest.mark.parametrize(
    ("completion", "expected"),
    [("Yes.", 1), ("yes it is", 1), ("No.", 0), ("perhaps", 0), ("<think>Yes", 0)],
)
def test_state(completion, expected):
    assert REWARDS["state"](completion, "Yes.", "state") == expected


def test_grounding_is_the_mean_of_rouge_and_token_f1():
    reward = REWARDS["grounding"]
    assert reward("Press the red brick.", "press the red brick", "grounding") == 1
    # bricks is brick to ROUGE, which stems, but another word to token F1
    assert reward("press bricks", "brick press", "grounding") == pytest.approx((0.5 + 0.5) / 2)
    assert reward("", "press", "grounding") == 0


def test_a_reward_is_none_for_tasks_that_are_not_its_own():
    for name in ("object", "state", "grounding"):
        for task in {"object", "state", "grounding"} - {name}:
            assert REWARDS[name]("Yes.", "Yes.", task) is None


def test_a_solution_that_is_none_is_an_error():
    with pytest.raises(ValueError, match="not the solution"):
        REWARDS["object"]("[]", "prose", "object")


def test_every_reward_of_anything_lies_within_its_range():
    rng = random.Random(0)
    solutions = {"object": SOLUTION, "state": "No.", "grounding": "Press the brick."}
    pieces = [SOLUTION, items(A), "[", "]", "{", "<answer>", "Yes", "no", "-1e9", "99999999", " a "]
    for _ in range(1000):
        text = "".join(rng.choices(pieces, k=rng.randrange(6)))
        for task, solution in solutions.items():
            for reward in (REWARDS["format"], REWARDS[task]):
                assert 0 <= reward(text, solution, task) <= 1
