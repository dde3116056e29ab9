"""No answer raises, gives NaN or leaves a score's range: neither drawn, nor mutated, nor hostile.

``LEGOR1_FUZZ`` is the number of answers of the slow test, 300,000 by default.
"""

import json
import math
import os
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legor1.published import thesis_metrics as metrics
from legor1.published import thesis_rewards
from legor1.tasks.grounding import grounding_reward
from legor1.tasks.object import object_reward
from legor1.tasks.parsing import FARTHEST, extract, parse_objects, parse_state, parse_tagged
from legor1.tasks.rewards import format_reward
from legor1.tasks.state import state_reward

FIXTURES = Path(__file__).parents[2] / "fixtures" / "thesis_scores"
SOLUTIONS = {
    "object": '[{"bbox_2d": [1, 2, 30, 40], "label": "a"}, {"bbox_2d": [5, 5, 9, 9], "label": ""}]',
    "state": "No.",
    "grounding": "Press 2 red 1x2 plates onto Mr. Brick's hat.",
}
# Pieces of answers, and what breaks readers of them.
PIECES = [
    *(
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        "<",
        ">",
        '"',
        "'",
        "\\",
        ",",
        ":",
        ".",
        "-",
        "+",
        "\n",
        " ",
        "\t",
    ),
    *("<answer>", "</answer>", "<ANSWER>", "< answer >", "</ answer >", "<think>", "</think>"),
    *("<p>", "</p>", "{<1><2><30><40>}", "<p>a</p> {<1><2><3><4>}", "<-1>", "<101>", "```json\n"),
    *(
        '"bbox_2d"',
        "'bbox_2d'",
        '"bbox"',
        '"box_2d"',
        '"label"',
        "'label'",
        ": [",
        "[1, 2, 30, 40]",
    ),
    *("NaN", "Infinity", "-Infinity", "1e999", "1e308", "-1e308", "5e-324", "9" * 400, "1e", "0x1"),
    *(
        "true",
        "false",
        "null",
        '"1"',
        '" 2 "',
        "1_0",
        "٣",
        "１",
        "２x４",
        "\u00a0",
        "\u2028",
        "\x00",
    ),
    *(
        "yes",
        "No",
        "YES.",
        "ye\u017f",
        "no way",
        "Yes No",
        "\ud800",
        "é",
        "e\u0301",
        "№",
        "😀",
        "İ",
    ),
    *(
        "1x2",
        "2 x4",
        "x",
        "2",
        "12ab",
        "can't",
        "'s",
        "``",
        "''",
        "...",
        "?!",
        "Mr.",
        "e.g.",
        "gimme",
    ),
    *('{"bbox_2d": [1, 2, 30, 40], "label": "a"}', "{'bbox': (4, 3, 2, 1), 'label': 'b\\'s'},"),
    *('{"bbox_2d": [0, 0, Infinity, 1], "label": "c"}', '{"bbox_2d": ["1", true, 3, 4]}', "\\u12"),
]


def of(reward, task, low=0.0, high=1.0):
    """Return a target that rewards an answer to the task's true solution."""
    return lambda text, other: [(reward(text, SOLUTIONS[task], task), low, high)]


def object_scores(text, other):
    iou, f1 = metrics.object_scores(text, other)
    return [(iou, 0, len(text)), (f1, 0, 1)]


TARGETS = {
    "sound format": lambda text, other: [
        (format_reward(text, "", task), 0, 1) for task in SOLUTIONS
    ],
    "sound object": of(object_reward, "object"),
    "sound state": of(state_reward, "state"),
    "sound grounding": of(grounding_reward, "grounding"),
    "thesis format": lambda text, other: [
        (thesis_rewards.format_reward(text, other, thesis_rewards.infer_task(other)), 0, 1)
    ],
    "thesis object": lambda text, other: [
        (thesis_rewards.object_reward(text, other, "object"), 0, 1)
    ],
    "thesis object, tagged": lambda text, other: [
        (
            thesis_rewards.object_reward(
                f"<answer>{text}</answer>", thesis_rewards.solution(SOLUTIONS["object"]), "object"
            ),
            0,
            1,
        )
    ],
    "thesis state": lambda text, other: [(thesis_rewards.state_reward(text, other, "state"), 0, 1)],
    "thesis grounding": lambda text, other: [
        (thesis_rewards.grounding_reward(text, other, "grounding"), 0, 2)
    ],
    "figure 1": lambda text, other: [
        (thesis_rewards.configuration1(text, other, "object"), 0, 1.1 + 0.4 * len(text)),
        (thesis_rewards.configuration2(text, other, "object"), 0, 1),
    ],
    "thesis object scores": object_scores,
    "thesis grounding scores": lambda text, other: [
        (score, 0, 1) for score in metrics.grounding_scores(text, other)
    ],
}


COSTLY = ("thesis grounding", "thesis grounding scores")  # NLTK's tokens take a millisecond


def check_answers(text):
    """Hold the readers of an answer to their promises."""
    assert isinstance(extract(text), str)
    for items in (parse_objects(text), parse_objects(text, strict=True), parse_tagged(text)):
        for item in items or ():
            assert isinstance(item.label, str)
            assert all(type(x) is float and abs(x) <= FARTHEST for x in item.box)
    assert parse_state(text) in (True, False, None)
    assert parse_state(text, strict=True) in (parse_state(text), None)
    assert metrics.state_answer(text) in (True, False, None)
    assert thesis_rewards.infer_task(text) in SOLUTIONS


def check_scores(name, text, other):
    """Hold the scores of a target to their ranges; rounding may exceed them by a hair."""
    for score, low, high in TARGETS[name](text, other):
        assert type(score) is float
        assert math.isfinite(score)
        assert low <= score <= high + 1e-9, (name, score)


def fixtures():
    texts = []
    for name in ("object", "grounding", "state", "rewards"):
        for line in (FIXTURES / f"{name}.jsonl").open(encoding="utf-8"):
            row = json.loads(line)
            texts += [row[key] for key in ("prediction", "reference", "completion") if key in row]
    return [text for text in texts if len(text) < 400]


def mutated(rng, texts):
    """Return a text with some edits: spans cut, doubled, moved or exchanged, pieces put in."""
    text = rng.choice(texts) if rng.random() < 0.8 else "".join(rng.choices(PIECES, k=9))
    for _ in range(rng.randrange(6)):
        start = rng.randrange(len(text) + 1)
        end = start + rng.randrange(12)
        kind = rng.randrange(6)
        if kind == 0:
            text = text[:start] + text[end:]
        elif kind == 1:
            text = text[:end] + text[start:end] * rng.randrange(4) + text[end:]
        elif kind == 2:
            other = rng.choice(texts)
            text = text[:start] + other[min(start, len(other)) :][:60] + text[end:]
        elif kind == 3:
            text = text[:start]
        else:
            text = text[:start] + rng.choice(PIECES) + text[start if kind == 4 else end :]
    return text[:600]


anything = st.one_of(
    st.text(st.characters(exclude_categories=())),
    st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=30).map("".join),
    st.sampled_from(fixtures()),
)


@given(anything)
@settings(max_examples=300)
def test_anything_is_read(text):
    check_answers(text)


@pytest.mark.parametrize("name", TARGETS)
@given(text=anything, other=anything)
@settings(max_examples=60)
def test_anything_is_scored_within_range(name, text, other):
    check_scores(name, text, other)


@pytest.mark.parametrize("name", TARGETS)
def test_what_once_broke_a_reader_is_scored_within_range(name):
    hostile = [
        "",
        " ",
        "[" * 5000,
        "{" * 5000,
        '[{"bbox_2d":' * 500,
        "9" * 5000,
        "." * 200,
        *PIECES,
    ]
    for text in hostile:
        check_scores(name, text, text)
        check_scores(name, f"<answer>{text}</answer>", SOLUTIONS["object"])


def test_a_seed_gives_the_same_answers():
    texts = fixtures()
    drawn = [[mutated(random.Random(seed), texts) for seed in range(50)] for _ in range(2)]
    assert drawn[0] == drawn[1]


@pytest.mark.slow
def test_many_answers():
    """Every answer is read in every way, and scored by one target: in turn, the costly less."""
    rng, texts = random.Random(0), fixtures()
    names = [name for name in TARGETS for _ in range(1 if name in COSTLY else 4)]
    for index in range(int(os.environ.get("LEGOR1_FUZZ", "300000"))):
        text, other = mutated(rng, texts), rng.choice(texts)
        try:
            check_answers(text)
            check_scores(names[index % len(names)], text, other)
        except Exception as error:
            raise AssertionError(f"answer {index}: {text!r} against {other!r}") from error


def seconds(function, text):
    began = time.process_time()
    function(text)
    return time.process_time() - began


@pytest.mark.slow
@pytest.mark.parametrize(
    "function", [parse_objects, parse_state, thesis_rewards.infer_task, extract]
)
def test_ten_times_the_text_takes_about_ten_times_as_long(function):
    units = [
        *PIECES,
        '{"bbox_2d": [1,',
        "<p>a</p> ",
        "'label': '",
        "{'label':'}",
        "<answer>a",
        "a ",
    ]
    for unit in units:
        for frame in ("{}", "[{}]", "<think>{}", "{{'bbox': [0, 0, 1, 1], 'label': '{}"):
            short, long = (frame.format(unit * (n // len(unit))) for n in (30_000, 300_000))
            limit = 40 * seconds(function, short) + 0.1  # quadratic would be 100
            # A busy machine may disturb one call, but not three.
            assert any(seconds(function, long) < limit for _ in range(3)), (unit, frame)
