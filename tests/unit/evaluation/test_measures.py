"""What holds of every metric, whatever a model says."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legor1.evaluation.scoring import PROTOCOLS

NUMBERS = st.one_of(
    st.integers(-50, 2000),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(["12", "x", None, 10**400, True]),
)
ITEMS = st.fixed_dictionaries(
    {"bbox_2d": st.lists(NUMBERS, min_size=3, max_size=5)},
    optional={"label": st.one_of(st.text(), st.integers())},
)
LISTS = st.lists(ITEMS, max_size=6).map(json.dumps)
TWO = '[{"bbox_2d": [10, 10, 0, 0], "label": ""}, {"bbox_2d": [5, 5, 5, 5], "label": "é"}]'
REFERENCES = {
    "object": st.sampled_from(
        ["[]", '[{"bbox_2d": [0, 0, 10, 10], "label": "1 children\'s brick"}]', TWO]
    ),
    "grounding": st.one_of(st.text(), st.sampled_from(["", "Drücke den Stein.", "<answer>x"])),
    "state": st.sampled_from(["Yes.", "No.", "<answer>no</answer>"]),
}
ANSWERS = st.one_of(
    st.text(),
    LISTS,
    LISTS.map(lambda text: text.replace('"', "'")),
    st.builds("<think>{}</think><answer>{}</answer>".format, st.text(), LISTS),
    st.sampled_from(["Yes.", "no", "<answer>yes", "[" * 5000, "\ud83d", "[{}]", "null", "[NaN]"]),
)
SIGNED = {"mcc"}
UNBOUNDED = {("thesis", "iou")}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("task", REFERENCES)
@settings(max_examples=150)
@given(data=st.data())
def test_every_metric_is_in_its_range_or_undefined(protocol, task, data):
    one = PROTOCOLS[protocol][task]
    numbers = one.measure(data.draw(ANSWERS), data.draw(REFERENCES[task]))
    assert set(numbers) == set(one.features)
    features = np.array([numbers[name] for name in one.features], dtype=float)
    assert np.isfinite(features).all() and (features >= 0).all()
    for name, value in zip(one.metrics, one.statistics(features), strict=True):
        high = math.inf if (protocol, name) in UNBOUNDED else 1
        assert math.isnan(value) or (-1 if name in SIGNED else 0) <= value <= high, name


@pytest.mark.parametrize("task", REFERENCES)
@given(data=st.data())
def test_a_perfect_answer_scores_best(task, data):
    true = data.draw(REFERENCES[task])
    one = PROTOCOLS["sound"][task]
    numbers = one.measure(true, true)
    assert all(numbers[name] == 1 for name in ("f1_object", "f1_theme") if name in numbers)
    if task == "state":
        assert numbers["fp"] == numbers["fn"] == 0


def test_metrics_of_all_follow_from_the_sums_of_the_features():
    one = PROTOCOLS["sound"]["object"]
    box = '[{"bbox_2d": [0, 0, 10, 10], "label": "a"}]'
    rows = [one.measure(said, box) for said in (box, "[]", "nonsense", box[:-1])]
    table = np.array([[row[name] for name in one.features] for row in rows], dtype=float)
    named = dict(zip(one.metrics, one.statistics(table.sum(axis=0)), strict=True))
    assert named["recall_50"] == 2 / 4  # of the list that was cut short, what is complete counts
    assert named["precision_50"] == 1
    assert (named["parse_strict"], named["parse_lenient"]) == (2 / 4, 3 / 4)
    assert one.statistics(table).shape == (4, len(one.metrics))


def test_every_protocol_scores_every_task_and_tests_a_metric_that_it_has():
    for name, tasks in PROTOCOLS.items():
        free = ["question"] if name == "sound" else []
        assert list(tasks) == ["object", "grounding", "state", *free]
        for one in tasks.values():
            assert one.main in one.metrics
            assert "counted" in one.features
