import math

import numpy as np
import pytest

from legor1.tasks.discovery import TASKS
from legor1.tasks.metrics.slots import PATTERNS, compare, values
from legor1.tasks.metrics.text import exact


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("Place 1 blue 2x2 brick at the back.", "1, blue, 2x2, brick, at the back"),
        ("Stack 2 green 2 x 4 plates on the red one.", "2, green, 2x4, plate, on the red one"),
        # The prose of LEGO-ARTA: shades, forms, no size, several steps
        ("Press 4 light grey technic pin under it, here! Add 1 red tile.",
         "4, light grey, -, technic pin, under it"),
        ("Add 3 trans-clear panel 1x2x1", "3, trans-clear, 1x2x1, panel, -"),
        ("PUT TWO RED BRICKS", "two, red, -, brick, -"),
        ("Turn the model around.", "-, -, -, -, -"),
    ],
)  # fmt: skip
def test_a_slot_is_the_first_that_is_named(instruction, expected):
    named = values(instruction)
    assert ", ".join(named.get(slot, "-") for slot in PATTERNS) == expected


def test_a_slot_counts_where_the_reference_has_it():
    features = compare("Place 2 red 2x2 brick.", "Place 1 red plate on the left.")
    asked = {name for name in PATTERNS if features[f"{name}_asked"]}
    right = {name for name in PATTERNS if features[f"{name}_hit"]}
    assert asked == {"count", "colour", "kind", "place"} and right == {"colour"}


def test_the_share_of_a_slot_is_over_the_examples_that_have_it():
    scoring = TASKS["grounding"].scoring
    pairs = [
        ("Place 1 red brick.", "Place 1 red brick on the left."),
        ("Place 1 blue brick.", "Place 1 red brick."),
        ("Place it on the left.", "Place it on the left."),
    ]
    rows = [scoring.measure(*pair) for pair in pairs]
    sums = np.array([[row[name] for name in scoring.features] for row in rows]).sum(axis=0)
    metrics = dict(zip(scoring.metrics, scoring.statistics(sums), strict=True))
    assert metrics["colour_right"] == 1 / 2 and metrics["place_right"] == 1 / 2
    assert metrics["kind_right"] == 1 and math.isnan(metrics["size_right"])
    assert metrics["exact"] == 1 / 3


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        ("place 1 red brick on the left", 1),  # case and full stops do not matter
        ("Place 1 red brick on the right.", 0),
        ("On the left place 1 red brick.", 0),  # the order does
        ("", 0),
    ],
)
def test_exact_is_the_same_words_in_the_same_order(prediction, expected):
    assert exact(prediction, "Place 1 red brick on the left.") == expected


def test_every_slot_that_a_task_declares_has_a_metric():
    for task in TASKS.values():
        assert {f"{slot}_right" for slot in task.slots} <= set(task.scoring.metrics)
