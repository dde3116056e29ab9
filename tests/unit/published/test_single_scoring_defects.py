"""The sound scoring with single published defects: one at a time, and all as published."""

import json

import pytest

from legor1.evaluation.scoring import SOUND
from legor1.published.published_settings import SCORING
from legor1.published.thesis_metrics import object_scores, state_answer, with_defects

TWO = [
    {"bbox_2d": [0, 0, 10, 10], "label": "2 blue bricks"},
    {"bbox_2d": [20, 20, 30, 30], "label": "2 blue plates"},
]
TRUE = json.dumps(TWO)
PERHAPS = "<answer>Perhaps</answer>"
ANSWERS = [
    TRUE,
    json.dumps(TWO[:1]),
    json.dumps([{**TWO[0], "bbox_2d": [0, 0, 10, 5]}, TWO[1]]),
    json.dumps([{**TWO[0], "label": "1 farmer's 2x4"}]),
    "[]",
    "nothing",
    '<answer>[{"bbox_2d": [1, 1, 9, 9], "label": "a"}]</answer>',
]


def measured(task, answer, reference, *defects):
    return with_defects(SOUND, defects)[task].measure(answer, reference)


@pytest.mark.parametrize("reference", ANSWERS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_all_of_them_are_the_published_scores(answer, reference):
    if reference == "nothing":
        with pytest.raises(ValueError, match="no list of boxes"):
            measured("object", answer, reference)
        return
    numbers = measured("object", answer, reference, *SCORING)
    assert (numbers["iou"], numbers["f1_object"]) == object_scores(answer, reference)


def test_each_alone_changes_its_own_number():
    sound = measured("object", TRUE, TRUE)
    assert (sound["iou"], sound["f1_object"]) == (1, 1)
    summed = measured("object", TRUE, TRUE, "summed_iou")
    assert (summed["iou"], summed["f1_object"]) == (2, 1)
    listed = measured("object", TRUE, TRUE, "set_over_list_f1")
    # Of six words four are different: 2, blue, bricks, plates.
    assert (listed["iou"], listed["f1_object"]) == (1, pytest.approx(4 / 6))
    quoted = json.dumps([{**TWO[0], "label": "farmer's brick"}])
    assert measured("object", quoted, quoted)["iou"] == 1
    assert measured("object", quoted, quoted, "quote_replacement")["iou"] == 0
    assert measured("object", quoted, quoted, "summed_iou")["iou"] == 1


@pytest.mark.parametrize(("answer", "counted"), [("Yes.", 1), (PERHAPS, 0)])
def test_skipped_answers_leave_the_denominator(answer, counted):
    sound = measured("state", answer, "Yes.")
    assert (sound["counted"], sound["tp"] + sound["fn"]) == (1, 1)
    skipped = measured("state", answer, "Yes.", "skipped_answers")
    assert (skipped["counted"], skipped["tp"], skipped["fn"]) == (counted, counted, 0)
    assert (state_answer(answer) is None) == (not counted)


def test_without_a_defect_and_for_grounding_it_is_the_sound_scoring():
    assert with_defects(SOUND, ()) == SOUND
    assert with_defects(SOUND, SCORING)["grounding"] is SOUND["grounding"]
