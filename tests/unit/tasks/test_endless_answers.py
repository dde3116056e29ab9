"""Answers of any length cost little, under both protocols and in every suite of rewards."""

import time

import pytest

from legor1.evaluation import suites
from legor1.evaluation.scoring import Bootstrap, score
from legor1.evaluation.suites import SUITES
from legor1.report.publishable import publishable
from legor1.tasks import parsing
from legor1.tasks.metrics.text import nltk_tokens as tokens
from legor1.tasks.parsing import LONGEST, MOST_BOXES, parse_objects, too_long

ITEM = '{"bbox_2d": [1, 1, 9, 9], "label": "a"}'
TAG = "<p>a</p>{<1><1><9><9>}"
REFERENCES = {"object": f"[{ITEM}]", "grounding": "Put the red brick on top.", "state": "Yes."}


def boxes(count: int) -> str:
    return f"[{', '.join([ITEM] * count)}]"


@pytest.fixture
def counted(monkeypatch):
    """Count the cells of the matrices that boxes are matched in."""
    cells = []

    def matched(cost, maximize=False):
        cells.append(cost.size)
        return original(cost, maximize=maximize)

    from scipy import optimize

    original = optimize.linear_sum_assignment
    monkeypatch.setattr(optimize, "linear_sum_assignment", matched)
    return cells


def scored(task: str, prediction: str, protocol: str) -> dict:
    row = {"instance_id": "a", "task": task, "prediction": prediction}
    row |= {"reference": REFERENCES[task]}
    return score([row], protocol=protocol, settings=Bootstrap(2))[0]["tasks"].get(task, {})


@pytest.mark.parametrize("protocol", ["sound", "thesis"])
@pytest.mark.parametrize(
    ("task", "prediction"),
    [
        ("object", boxes(10_000)),
        ("object", TAG * 10_000),
        ("grounding", "Put the red brick on top. " * 10_000),
        ("grounding", "Mr. " * 250_000),
        ("state", "Hm. " * 20_000 + "Yes"),
    ],
)
def test_an_endless_answer_scores_as_an_empty_one_and_is_counted(
    task, prediction, protocol, counted
):
    found = scored(task, prediction, protocol)
    empty = scored(task, "", protocol)
    assert found.pop("too_long", 0) == (1 if found else 0)  # a state that is not said has no task
    assert found == empty
    assert sum(counted) <= MOST_BOXES


def test_the_bounds_are_far_beyond_what_is_answered():
    assert LONGEST > 2 * 18_000  # 4,096 tokens of prose
    longest = "a" * LONGEST
    assert parsing.extract(f"<think>{longest * 2}</think>{longest}") == longest  # thinking is free
    assert parsing.extract(f"{longest}a") == "" and too_long(f"{longest}a")
    assert not too_long(f"<think>{longest * 2}</think>{longest}")
    assert len(parse_objects(boxes(MOST_BOXES))) == MOST_BOXES
    for strict in (True, False):
        assert parse_objects(boxes(MOST_BOXES + 1), strict=strict) is None


@pytest.mark.parametrize("name", SUITES)
def test_no_reward_is_gained_by_going_on(name, counted):
    rewards = SUITES[name]
    solution = TAG if rewards.percent else rewards.solution(REFERENCES["object"])
    for said in (boxes(MOST_BOXES + 1), TAG * (MOST_BOXES + 1), boxes(10_000)):
        for completion in (said, f"<answer>{said}</answer>"):
            assert paid(rewards, "object", completion, solution) == 0
    assert counted == []
    if "grounding" in rewards.rewards:
        meant = rewards.solution(REFERENCES["grounding"])
        said = f"<answer>{REFERENCES['grounding'] * 10_000}</answer>"
        assert paid(rewards, "grounding", said, meant) == 0


def paid(rewards, task, completion, solution):
    sample = {"completion": completion, "solution": solution, "task": task}
    return suites.call(rewards.rewards[task], sample)


def cpu(function, text: str) -> float:
    started = time.process_time()
    function(text)
    return time.process_time() - started


@pytest.mark.parametrize(
    ("function", "unit"),
    [
        (publishable, "eyJ-"),
        (publishable, "eyJ-------."),
        (publishable, "eyJaaaaaaaaaa."),
        (tokens, "Mr. "),
        (tokens, "1. "),
    ],
)
def test_time_grows_as_the_text_does(function, unit):
    function(unit)
    short, long = (min(cpu(function, (unit * n)[:n]) for _ in range(2)) for n in (12_000, 48_000))
    assert long < 8 * short + 0.05  # four times is linear, sixteen times quadratic


def test_words_are_split_alike_however_busy_the_machine_is(monkeypatch):
    tokens("a")
    from nltk import redos

    assert redos.DEFAULT_TIMEOUT is None  # else a clock on the wall would decide
