import random
import time

import pytest

from legor1.tasks import parsing
from legor1.tasks.parsing import (
    Detection,
    extract,
    parse_objects,
    parse_state,
    parse_tagged,
)

ITEM = '{"bbox_2d": [1, 2, 30, 40.5], "label": "2 red 2x4 brick"}'
BRICK = Detection((1, 2, 30, 40.5), "2 red 2x4 brick")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("  Yes. \n", "Yes."),
        ("<answer> Yes </answer> or so", "Yes"),
        ("<ANSWER>Yes</ANSWER>", "Yes"),
        ("<answer>Yes", "Yes"),
        ("<think>No, wait. <answer>No</answer></think><answer>Yes</answer>", "Yes"),
        ("<think>no</think> Yes", "Yes"),
        ("so no</think>Yes", "Yes"),
        ("<think>no, no", ""),
        ("<think>no <answer>Yes</answer>", "Yes"),
        ("<answer>1</answer><answer>2</answer>", "1"),
        ("", ""),
    ],
)
def test_extract(text, answer):
    assert extract(text) == answer


@pytest.mark.parametrize("text", [f"[{ITEM}]", f" <think>hm</think><answer>[{ITEM}]</answer>"])
def test_what_was_asked_for_parses_both_ways(text):
    assert parse_objects(text, strict=True) == parse_objects(text) == [BRICK]


def test_an_empty_list_is_an_answer():
    assert parse_objects("[]", strict=True) == parse_objects("There is none: [ ]") == []


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n[{ITEM}]\n```",
        f"Here:\n```JSON\n[\n  {ITEM},\n]\n```\nThat is all.",
        f'```json\n[{ITEM},\n{{"bbox_2d"',
        f"<think>[{ITEM.replace('1, 2', '3, 4')}]? No.</think>\nSo: {ITEM}",
        f"<answer>[{ITEM}, {{",
        f"[{ITEM.replace('}', ', ')}'score': 0.9, 'more': None}}]",
        f"Here's what I see [so far]: [{ITEM}] and that's all [I think].",
        ITEM,
        ITEM.replace('"', "'"),
        f"[{ITEM}]".replace("1, 2, 30, 40.5", '"1", "2", "30", "40.5"'),
        f"[{ITEM}".replace('"', "'") + ",]",
        f'{{"objects": [{ITEM}]}}',
        *(f"[{ITEM.replace('bbox_2d', key)}]" for key in ("bbox", "box", "box_2d")),
        f'[{ITEM}, {{"bbox_2d": [3, 4, 5',
        f'[{ITEM}, {{"bbox_2d": [3, 4, 5, 6], "label": "1 bl',
        f'[{ITEM}, {{"bbox_2d": [3, 4, 5], "label": "three"}}]',
        f'[{ITEM}, {{"bbox_2d": [1e999, NaN, 5, 6], "label": "huge"}}]',
        f'[{ITEM}, {{"bbox_2d": [true, false, true, true], "label": "no numbers"}}]',
        f'[{ITEM}, {{"bbox_2d": [1, 2, 1e200, 1e200], "label": "no pixels"}}]',
        "<p>2 red 2x4 brick</p> {<1><2><30><40.5>}",
        "The <p> 2 red 2x4 brick </p>{ <1> <2><30><40.5> } is there",
    ],
)
def test_what_can_be_recovered_is(text):
    assert parse_objects(text, strict=True) is None
    assert parse_objects(text) == [BRICK]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("'1 builder's hat'", "1 builder's hat"),
        (r"'1 builder\'s hat'", "1 builder's hat"),
        ('"1 builder\'s hat"', "1 builder's hat"),
        (r'"2 \"small\" br\u00fcck"', '2 "small" brück'),
        ("'1 wing', 'score': 1", "1 wing"),
        ("7", ""),
    ],
)
def test_labels_with_quotes(label, expected):
    assert parse_objects(f"[{{'bbox_2d': [1, 2, 3, 4], 'label': {label}}}]") == [
        Detection((1, 2, 3, 4), expected)
    ]


def test_tagged_boxes_are_read_in_order_and_broken_ones_passed_over():
    text = "<p>a</p> {<1><2><3><4>} <p>b</p> {<5><6><7>} <P> c </P>{ <0.5> <1> <2.5> <100> }"
    assert parse_tagged(text) == [Detection((1, 2, 3, 4), "a"), Detection((0.5, 1, 2.5, 100), "c")]
    assert parse_tagged("none") == []


def test_several_items_keep_their_order_and_a_missing_label_is_empty():
    text = "{'bbox': (9, 8, 10, 11)} then {'label': 'x', 'bbox': [-1.5, 2, 3, 4]}"
    assert parse_objects(text) == [
        Detection((9, 8, 10, 11), ""),
        Detection((-1.5, 2, 3, 4), "x"),
    ]


def test_braces_inside_a_label_survive_when_the_list_is_whole():
    text = 'So: [{"bbox_2d": [1, 2, 3, 4], "label": "a {b} c"}].'
    assert parse_objects(text) == [Detection((1, 2, 3, 4), "a {b} c")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "[",
        "null",
        "3",
        "[1, 2, 3, 4]",
        "the brick is at [1, 2, 3, 4]",
        '{"bbox_2d": [], "label": "a"}',
        "<think>[]",
    ],
)
def test_no_telling_is_none(text):
    assert parse_objects(text) is None


@pytest.mark.parametrize(
    ("text", "lenient", "strict"),
    [
        ("Yes", True, True),
        ("No.", False, False),
        ("<think>No</think><answer>Yes.</answer>", True, True),
        ("yes", True, None),
        ("NO!", False, None),
        ("I know: no, not yes", False, None),
        ("Nothing yesterday", None, None),
        ("ye\u017f", None, None),
        ("", None, None),
    ],
)
def test_parse_state(text, lenient, strict):
    assert parse_state(text) is lenient
    assert parse_state(text, strict=True) is strict


@pytest.mark.parametrize(
    "unit",
    [
        *("[", "{", "[{", "[ ", '"', "'", '"\\', "' ' ", "9", " ", "no_", "yes"),
        *("<think>", "</think>", "<answer>", "<p>", "<p>a</p> ", "{<1>", "{'label': '}"),
        *("'label': '", '{"bbox": [1,', '{"bbox": [1,2,3,4],', "{'bbox':[0,0,1,1],'label':'a'},"),
        f"{ITEM},",
    ],
)
@pytest.mark.parametrize("frame", ["{}", "[{}]", "{{'bbox': [0, 0, 1, 1], 'label': '{}"])
def test_a_megabyte_of_anything_takes_linear_time(unit, frame, monkeypatch):
    monkeypatch.setattr(parsing, "LONGEST", 10**9)  # what is longer is not even looked at
    text = frame.format(unit * (1_000_000 // len(unit)))
    began = time.process_time()
    parse_objects(text)
    parse_state(text)
    assert time.process_time() - began < 3  # anything quadratic would take hours


def test_no_mutation_of_an_answer_raises():
    rng = random.Random(0)
    seeds = [f"[{ITEM}, {ITEM}]", f"<think>a</think><answer>[{ITEM}]</answer>", "<p>a</p> {<1><2>"]
    alphabet = "[]{}<>()\"'\\,:.-+ 0129eE\nNaN\ud800é"
    for _ in range(5000):
        text = list(rng.choice(seeds))
        for _ in range(rng.randrange(1, 8)):
            start = rng.randrange(len(text))
            text[start : start + rng.randrange(4)] = rng.choices(alphabet, k=rng.randrange(4))
            text = text or ["["]
        for strict in (False, True):
            found = parse_objects("".join(text), strict=strict)
            assert found is None or all(abs(x) <= 1e9 for item in found for x in item.box)
            assert parse_state("".join(text), strict=strict) in (None, True, False)
