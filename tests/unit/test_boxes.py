import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from legor1.boxes import FACTOR, PixelBudget, iou_matrix, rescale, rescale_text, to_processed

DEMO = PixelBudget(9408, 15680)


def test_processed_size_worked_by_hand():
    # sqrt(480 * 360 / 15680) = 3.32; 480 / 3.32 / 28 = 5.2 -> 5; 360 / 3.32 / 28 = 3.9 -> 3
    assert DEMO.processed_size((480, 360)) == (5 * FACTOR, 3 * FACTOR)
    assert DEMO.visual_tokens((480, 360)) == 15
    # too small an image grows: sqrt(9408 / 2500) = 1.94; 50 * 1.94 / 28 = 3.46 -> 4
    assert DEMO.processed_size((50, 50)) == (4 * FACTOR, 4 * FACTOR)


@given(st.integers(1, 5000), st.integers(1, 5000))
@example(2, 322)  # a side under half a token
def test_processed_size_agrees_with_the_processors_own_rule(width, height):
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    if max(width, height) / min(width, height) > 200:
        with pytest.raises(ValueError):
            DEMO.processed_size((width, height))
        return
    expected = smart_resize(height, width, FACTOR, DEMO.min_pixels, DEMO.max_pixels)
    assert DEMO.processed_size((width, height)) == expected[::-1]


@pytest.mark.parametrize("pixels", [(0, 100), (784, 783), (100, 784)])
def test_an_impossible_budget_is_refused(pixels):
    with pytest.raises(ValueError, match="pixel budget"):
        PixelBudget(*pixels)


def test_a_box_goes_to_the_processed_frame_and_back():
    box = (48.0, 36.0, 240.0, 180.0)
    there = rescale(box, (480, 360), (140, 84))
    assert there == pytest.approx((14.0, 8.4, 70.0, 42.0))
    assert rescale(there, (140, 84), (480, 360)) == pytest.approx(box)


def test_text_keeps_everything_but_its_boxes():
    answer = '[{"bbox_2d": [48, 36, 240, 180], "label": "2 red 2x4 brick"}]'
    seen = to_processed(answer, (480, 360), DEMO)
    assert json.loads(seen) == [{"bbox_2d": [14, 8, 70, 42], "label": "2 red 2x4 brick"}]
    broken = "boxes: [1, 2, 3] and [10, 20, 30, 40"
    assert rescale_text(broken, (480, 360), (140, 84)) == broken
    assert rescale_text("[0.5,1,2,-4]", (1, 1), (10, 10)) == "[5, 10, 20, -40]"
    assert rescale_text("(1, 1.25e1, 3, 4,)", (1, 1), (2, 2)) == "(2, 25, 6, 8)"


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
