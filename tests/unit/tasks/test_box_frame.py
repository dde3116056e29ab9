import json
from dataclasses import replace

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from prediction_lines import line
from trees import SCHEMAS

from legor1.core.boxes import rescale
from legor1.core.files import read_json
from legor1.evaluation.scoring import Bootstrap, score
from legor1.models.registry import DEFAULT
from legor1.tasks.metrics.box_frame import FRAMES, MOST_SIZES, UNITS, Image, diagnose_frame
from legor1.tasks.parsing import Detection

SIZES = [(1600, 1200), (1200, 1600), (2000, 900)]
BUDGET = DEFAULT.budget(min_pixels=3136, max_pixels=768 * 768)  # as the published SFT shrank images
LABELS = ("red brick", "blue plate", "wheel hub", "arch")


def study(convert=lambda box, size, processed: box, noise=0.0, relabel=0.0):
    """Images whose predictions are the true boxes, converted to the frame that is to be found."""
    rng, images = np.random.default_rng(0), []
    for number in range(60):
        size = SIZES[number % len(SIZES)]
        processed = BUDGET.processed_size(size)
        true, said = [], []
        for _ in range(rng.integers(1, 4)):
            side = np.array(size) * rng.uniform(0.1, 0.3, 2)
            low = (np.array(size) - side) * rng.random(2)
            box = (*low, *(low + side))
            label = str(rng.choice(LABELS))
            true.append(Detection(box, label))
            moved = tuple(np.array(convert(box, size, processed)) + rng.normal(0, noise, 4))
            said.append(Detection(moved, "?" if rng.random() < relabel else label))
        order = rng.permutation(len(said))
        images.append(Image([said[i] for i in order], true, size, processed))
    return images


def to_processed(box, size, processed):
    return rescale(box, size, processed)


def to_twice(box, size, processed):
    return rescale(box, processed, size)


def test_predictions_in_the_right_frame():
    found = diagnose_frame(study())
    assert found["best"] == "original"
    assert found["iou"]["original"] == pytest.approx(1)
    assert found["iou"]["processed"] < 0.5 and found["iou"]["converted_twice"] < 0.5
    for axis in "xy":
        assert found["all"][axis]["slope"] == pytest.approx(1)
        assert found["all"][axis]["intercept"] == pytest.approx(0, abs=1e-9)


def test_predictions_in_the_processed_frame_are_given_away():
    found = diagnose_frame(study(to_processed))
    assert found["best"] == "processed"
    assert found["iou"]["original"] < 0.2  # the collapse
    assert found["iou"]["processed"] == pytest.approx(1)  # the same answers, rescaled
    assert len(found["sizes"]) == len(SIZES)
    for one in found["sizes"]:
        expected = one["processed_width"] / one["width"], one["processed_height"] / one["height"]
        slopes = one["x"]["slope"], one["y"]["slope"]
        assert slopes == pytest.approx(expected)
        assert (one["expected"]["x"], one["expected"]["y"]) == pytest.approx(expected)
        assert (one["x"]["intercept"], one["y"]["intercept"]) == pytest.approx((0, 0), abs=1e-6)
        assert max(slopes) < 0.8


@pytest.mark.parametrize("relabel", [0.3, 1.0])
def test_noise_and_wrong_labels_do_not_hide_it(relabel):
    found = diagnose_frame(study(to_processed, noise=6, relabel=relabel))
    assert found["best"] == "processed"
    assert found["iou"]["processed"] > 3 * found["iou"]["original"]
    for one in found["sizes"]:
        assert one["x"]["slope"] == pytest.approx(one["expected"]["x"], abs=0.05)
        assert one["y"]["slope"] == pytest.approx(one["expected"]["y"], abs=0.05)


def test_a_conversion_too_many_is_given_away():
    found = diagnose_frame(study(to_twice))
    assert found["best"] == "converted_twice"
    assert found["iou"]["converted_twice"] == pytest.approx(1)
    assert found["all"]["x"]["slope"] > 1.3


def test_a_frame_that_no_one_thought_of_shows_in_the_slope():
    found = diagnose_frame(study(lambda box, size, _: rescale(box, size, (512, 512))))
    for one in found["sizes"]:
        assert one["x"]["slope"] == pytest.approx(512 / one["width"], abs=0.02)
        assert one["y"]["slope"] == pytest.approx(512 / one["height"], abs=0.02)


def noisy_set(rng, frame, sizes):
    """50 images whose predictions overlap the true boxes by half, written in a frame."""
    unit, _, order = frame.partition("_") if frame != "converted_twice" else (frame, "", "")
    images = []
    for _ in range(50):
        size = sizes[rng.integers(len(sizes))]
        processed = BUDGET.processed_size(size)
        scale = np.divide(UNITS[unit](size, processed), size)
        true, said = [], []
        for _ in range(rng.integers(1, 5)):
            side = np.array(size) * rng.uniform(0.08, 0.3, 2)
            low = (np.array(size) - side) * rng.random(2)
            true.append(Detection((*low, *(low + side)), "brick"))
            noise = rng.normal(0, 0.235, 4) * [*side, *side]
            x1, y1, x2, y2 = (np.array(true[-1].box) + noise) * [*scale, *scale]
            written = {"yx": (y1, x1, y2, x2), "xywh": (x1, y1, x2 - x1, y2 - y1)}
            said.append(Detection(written.get(order, (x1, y1, x2, y2)), "brick"))
        images.append(Image([said[i] for i in rng.permutation(len(said))], true, size, processed))
    return images


@pytest.mark.parametrize("sets", [48, pytest.param(1000, marks=pytest.mark.slow)])
def test_the_frame_of_noisy_predictions_is_named_and_never_a_wrong_one(sets):
    rng, named, ious = np.random.default_rng(1), 0, []
    for number in range(sets):
        frame = FRAMES[number % len(FRAMES)]
        found = diagnose_frame(noisy_set(rng, frame, [*SIZES, (1024, 768), (900, 900)]))
        assert found["best"] in (frame, None)
        named += found["best"] == frame
        ious.append(found["iou"][frame])
    assert named >= 0.99 * sets
    assert np.mean(ious) == pytest.approx(0.5, abs=0.05)


def test_frames_that_are_the_same_for_the_images_are_said_to_be():
    rng = np.random.default_rng(2)
    found = diagnose_frame(noisy_set(rng, "thousandths", [(1000, 1000)]))
    assert (found["best"], found["alike"]) == ("original", ["thousandths"])


def test_boxes_that_have_nothing_to_do_with_their_image_tell_no_frame():
    rng = np.random.default_rng(3)
    for frame in FRAMES:
        images = noisy_set(rng, frame, SIZES)
        others = [image.predicted for image in images[1:] + images[:1]]
        mixed = [replace(i, predicted=o) for i, o in zip(images, others, strict=True)]
        assert diagnose_frame(mixed)["best"] is None


def test_by_hand():
    true = [Detection((10, 20, 30, 60), "a"), Detection((50, 20, 70, 60), "b")]
    said = [Detection((25, 5, 35, 15), "b"), Detection((5, 5, 15, 15), "a")]  # halves, quarters
    found = diagnose_frame([Image(said, true, (100, 80), (50, 20))])
    (one,) = found["sizes"]
    assert one["expected"] == {"x": 0.5, "y": 0.25}
    assert (one["pairs"], one["x"], one["y"]) == (
        2,
        {"slope": pytest.approx(0.5), "intercept": pytest.approx(0)},
        {"slope": pytest.approx(0.25), "intercept": pytest.approx(0)},
    )
    ious = [found["iou"][name] for name in ("original", "processed", "converted_twice")]
    assert ious == [0, pytest.approx(1), 0]
    assert found["best"] is None, "one image tells nothing"


def test_nothing_to_fit():
    assert diagnose_frame([]) is None
    found = diagnose_frame([Image([], [Detection((0, 0, 1, 1), "a")], (9, 9), (9, 9))])
    assert found["all"]["x"] == {"slope": None, "intercept": None}
    assert (found["iou"]["original"], found["best"]) == (0, None)
    assert diagnose_frame([Image([], [], (9, 9), (9, 9))])["iou"]["original"] == 1


def test_only_the_most_frequent_sizes_are_listed():
    one = [Detection((0, 0, 5, 5), "a")]
    images = [Image(one, one, (10 + i, 10), (28, 28)) for i in range(MOST_SIZES + 5)]
    found = diagnose_frame([*images, images[-1]])
    assert len(found["sizes"]) == MOST_SIZES
    assert (found["sizes"][0]["width"], found["sizes"][0]["images"]) == (10 + MOST_SIZES + 4, 2)
    assert found["images"] == MOST_SIZES + 6


def test_scores_hold_it_where_the_predictions_have_both_sizes():
    rows = []
    for number, image in enumerate(study(to_processed)):
        texts = [
            json.dumps([{"bbox_2d": [round(x) for x in d.box], "label": d.label} for d in side])
            for side in (image.predicted, image.true)
        ]
        sizes = dict(zip(("width", "height"), image.size, strict=True))
        if number:  # one line lacks what the diagnostic needs
            names = ("processed_width", "processed_height")
            sizes |= dict(zip(names, image.processed, strict=True))
        rows.append(line(f"object/{number}", "object", *texts, manual="m", **sizes))
    scores, _ = score(rows, settings=Bootstrap(5))
    frame = scores["tasks"]["object"]["frame"]
    assert (frame["images"], frame["best"]) == (59, "processed")
    assert scores["tasks"]["object"]["iou"] < 0.2 < 0.95 < frame["iou"]["processed"]
    Draft202012Validator(read_json(SCHEMAS / "scores.schema.json")).validate(scores)
    without = [{k: v for k, v in row.items() if not k.startswith("processed")} for row in rows]
    assert "frame" not in score(without, settings=Bootstrap(5))[0]["tasks"]["object"]
