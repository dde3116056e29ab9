import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from legor1.core.boxes import (
    FRAMES,
    iou_matrix,
    rescale,
    rescale_text,
    to_original,
    to_shown,
)
from legor1.models.registry import DEFAULT

DEMO = DEFAULT.budget(9408, 15680)


def test_processed_size_worked_by_hand():
    # sqrt(480 * 360 / 15680) = 3.32; 480 / 3.32 / 28 = 5.2 -> 5; 360 / 3.32 / 28 = 3.9 -> 3
    assert DEMO.processed_size((480, 360)) == (5 * DEFAULT.factor, 3 * DEFAULT.factor)
    assert DEMO.visual_tokens((480, 360)) == 15
    # too small an image grows: sqrt(9408 / 2500) = 1.94; 50 * 1.94 / 28 = 3.46 -> 4
    assert DEMO.processed_size((50, 50)) == (4 * DEFAULT.factor, 4 * DEFAULT.factor)


@given(st.integers(1, 5000), st.integers(1, 5000))
@example(2, 322)  # a side under half a token
def test_processed_size_agrees_with_the_processors_own_rule(width, height):
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    if max(width, height) / min(width, height) > 200:
        with pytest.raises(ValueError):
            DEMO.processed_size((width, height))
        return
    expected = smart_resize(height, width, DEFAULT.factor, DEMO.min_pixels, DEMO.max_pixels)
    assert DEMO.processed_size((width, height)) == expected[::-1]


def test_a_box_goes_to_the_processed_frame_and_back():
    box = (48.0, 36.0, 240.0, 180.0)
    there = rescale(box, (480, 360), (140, 84))
    assert there == pytest.approx((14.0, 8.4, 70.0, 42.0))
    assert rescale(there, (140, 84), (480, 360)) == pytest.approx(box)


def test_text_keeps_everything_but_its_boxes():
    answer = '[{"bbox_2d": [48, 36, 240, 180], "label": "2 red 2x4 brick"}]'
    seen = to_shown(answer, (480, 360), DEMO)
    assert json.loads(seen) == [{"bbox_2d": [14, 8, 70, 42], "label": "2 red 2x4 brick"}]
    broken = "boxes: [1, 2, 3] and [10, 20, 30, 40"
    assert rescale_text(broken, (480, 360), (140, 84)) == broken
    assert rescale_text("[0.5,1,2,-4]", (1, 1), (10, 10)) == "[5, 10, 20, -40]"
    assert rescale_text("(1, 1.25e1, 3, 4,)", (1, 1), (2, 2)) == "(2, 25, 6, 8)"


TAGS = "<p>2 red 2x4 brick</p> {<10><10><50><50>} <p>1 peg, “new”</p> {<0><0><100><100>}"


def test_each_frame_shows_its_own_numbers_and_leads_back():
    items = [
        {"bbox_2d": [48, 36, 240, 180], "label": "2 red 2x4 brick"},
        {"bbox_2d": [0, 0, 480, 360], "label": "1 peg, “new”"},
    ]
    answer = f"<answer>{json.dumps(items, ensure_ascii=False)}</answer>"
    shown = {frame: to_shown(answer, (480, 360), DEMO, frame) for frame in FRAMES}
    assert shown["original"] == answer
    assert "[14, 8, 70, 42]" in shown["processed"]
    assert shown["percent"] == f"<answer>{TAGS}</answer>"
    assert to_original(shown["original"], (480, 360), DEMO, "original") == answer
    assert to_original(shown["percent"], (480, 360), DEMO, "percent") == answer
    assert "[48, 34, 240, 180]" in to_original(shown["processed"], (480, 360), DEMO)


@pytest.mark.parametrize(
    "text", ["Yes.", "[]", "Put [2] and [x] there.", "[1, 2]", '[{"label": 1}]']
)
def test_what_has_no_boxes_is_no_tag(text):
    assert to_shown(text, (480, 360), DEMO, "percent") == text
    assert to_original(text, (480, 360), DEMO, "percent") == text


def test_broken_tags_stay_broken():
    broken = "<p>peg</p> {<1><2><3>} and <p>peg {<1><2><3><4>}"
    assert to_original(broken, (480, 360), DEMO, "percent") == broken
    mixed = to_original(
        f"{broken} but <p>pin</p>{{<10> <10.0><50><50>}}", (480, 360), DEMO, "percent"
    )
    assert mixed == f'{broken} but [{{"bbox_2d": [48, 36, 240, 180], "label": "pin"}}]'


@pytest.mark.parametrize("text", ["<p>" * 200_000, "<p>a</p> {" * 100_000, "[" * 400_000])
def test_hostile_tags_take_linear_time(text):
    assert to_original(text, (2, 2), DEMO, "percent") == text
    assert to_shown(text, (2, 2), DEMO, "percent") == text


def test_rescaling_hostile_text_is_linear_and_keeps_it():
    text = "[" + "1," * 400_000
    assert rescale_text(text, (2, 2), (1, 1)) == text


def test_iou_worked_by_hand():
    # two 10 x 10 boxes that share a 5 x 10 strip: 50 / 150
    result = iou_matrix([(0, 0, 10, 10)], [(5, 0, 15, 10), (0, 0, 10, 10), (20, 20, 30, 30)])
    np.testing.assert_allclose(result, [[1 / 3, 1.0, 0.0]])


def test_degenerate_and_inverted_boxes_overlap_nothing():
    degenerate = [(3, 3, 3, 3), (10, 10, 0, 0)]
    assert not iou_matrix(degenerate, [(0, 0, 10, 10), *degenerate]).any()
    assert iou_matrix([], [(0, 0, 1, 1)]).shape == (0, 1)
