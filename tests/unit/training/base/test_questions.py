from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from legor1.core.seeding import generator
from legor1.data.synthetic import scenes
from legor1.data.synthetic.dataset import PROMPTS
from legor1.data.synthetic.looks import COLOURS, MANUAL_LOOK
from legor1.data.synthetic.wording import MANUAL, VALUES, Instruction, Part, Top
from legor1.models.registry import DEFAULT
from legor1.tasks.parsing import parse_objects
from legor1.training.base import questions
from legor1.training.base.labels import (
    CLAIM_CLASSES,
    NONE,
    UNKNOWN,
    WIDTH,
    Area,
    label_claim,
    label_tokens,
)
from legor1.training.base.questions import Booklet, lie_about, random_booklet

BUDGET = DEFAULT.budget(18816, 25088)
SIZES = [(240, 180), (180, 240), (210, 210), (270, 150)]


def manual(size):
    return Booklet(MANUAL_LOOK, MANUAL, size, BUDGET)


def steps(count):
    for number in range(count):
        yield from scenes.grow_model(generator(1, "model", str(number)), MANUAL_LOOK)


def test_a_lie_differs_in_exactly_the_attribute_it_names():
    rng, attributes = np.random.default_rng(0), Counter()
    for step in steps(60):
        told = step.instruction
        attribute, lie = lie_about(rng, told, step.before)
        assert [name for name in VALUES if lie.value(name) != told.value(name)] == [attribute]
        assert lie.part.count == told.part.count
        attributes[attribute] += 1
    assert attributes.keys() == questions.LIES_ABOUT.keys()


def test_the_truth_counts_as_much_as_all_lies_and_nothing_added_is_no():
    told = Counter()
    for number in range(30):
        for scene in manual(SIZES[number % 4]).model(generator(2, "scene", str(number))):
            state = [q for q in scene.about("state") if PROMPTS["state"] in q.text]
            weights = Counter()
            for question in state:
                weights[question.answer] += question.weight
            if scene.about("grounding"):
                assert weights["Yes."] == weights["No."] >= 1
                told["added"] += 1
            else:
                assert [q.answer for q in scene.questions] == ["No."]
                told["nothing"] += 1
    assert 0.03 < told["nothing"] / told.total() < 0.25


def test_in_a_lax_booklet_a_part_elsewhere_is_a_yes_that_stands_for_the_truth():
    lax, answers = replace(MANUAL, strict=False), Counter()
    for number in range(30):
        booklet = Booklet(MANUAL_LOOK, lax, SIZES[number % 4], BUDGET)
        for scene in booklet.model(generator(2, "scene", str(number))):
            truth, *lies = [q for q in scene.about("state") if PROMPTS["state"] in q.text]
            if not scene.about("grounding"):
                continue
            elsewhere = [q for q in lies if q.answer == "Yes."]
            answers["elsewhere"] += len(elsewhere)
            assert truth.weight == max(0, len(lies) - 2 * len(elsewhere))
            for question in elsewhere:
                labels = dict(zip(CLAIM_CLASSES, question.labels, strict=True))
                assert labels["same_place"] == 0, "the head still learns that it stands elsewhere"
    assert answers["elsewhere"] > 20


def test_the_labels_of_a_claim_say_what_agrees():
    told = Instruction(Part(1, "blue", (2, 2), "plate"), "at the back")
    shown = [("colour", 1), ("size", 2), ("kind", 1), ("place", 3)]
    lie = told.but("place", Top("red", "brick"))
    labels = dict(
        zip(CLAIM_CLASSES, label_claim(told, {a: lie.value(a) for a in VALUES}), strict=True)
    )
    assert [labels[f"shown_{name}"] for name, _ in shown] == [number for _, number in shown]
    assert [labels[f"told_{name}"] for name, _ in shown] == [1, 2, 1, 5]
    assert [labels[f"same_{name}"] for name, _ in shown] == [1, 1, 1, 0]
    one = dict(zip(CLAIM_CLASSES, label_claim(told, {"colour": "red"}), strict=True))
    assert (one["told_colour"], one["same_colour"]) == (0, 0)
    assert one["told_size"] == one["same_size"] == UNKNOWN
    nothing = dict(zip(CLAIM_CLASSES, label_claim(None, {"size": (2, 2)}), strict=True))
    assert (nothing["shown_size"], nothing["told_size"], nothing["same_size"]) == (UNKNOWN, 2, 0)


def test_every_claim_has_labels_that_agree_with_its_answer():
    answers = Counter()
    for number in range(12):
        for scene in manual(SIZES[number % 4]).model(generator(3, "scene", str(number))):
            for question in scene.questions:
                if question.answer in questions.BINARY:
                    labels = dict(zip(CLAIM_CLASSES, question.labels, strict=True))
                    same = [labels[name] for name in CLAIM_CLASSES if name.startswith("same_")]
                    agree = all(value for value in same if value != UNKNOWN)
                    assert questions.BINARY[not agree] == question.answer
                    answers[question.answer] += 1
                else:
                    assert question.labels == NONE
    assert min(answers.values()) > 20


@pytest.mark.parametrize("size", SIZES)
def test_boxes_are_in_pixels_of_the_processed_image(size):
    width, height = BUDGET.processed_size(size)
    call_out = random_booklet(np.random.default_rng(3), size, BUDGET).call_out(
        np.random.default_rng(4)
    )
    for item in parse_objects(call_out.questions[0].answer):
        x1, y1, x2, y2 = item.box
        assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
    assert call_out.shown.shape == (BUDGET.visual_tokens(size), WIDTH)


def test_a_token_is_labelled_with_what_it_shows_most_of():
    part = Part(3, "blue", (2, 1), "plate")
    square = [(28, 0), (56, 0), (56, 28), (28, 28)]
    labels = label_tokens((84, 28), [Area(square, (28, 0, 56, 28), part)])
    assert labels.shape == (3, WIDTH)
    assert labels[0].tolist() == labels[2].tolist() == [len(COLOURS)] + [UNKNOWN] * (WIDTH - 1)
    assert labels[1].tolist() == [1, 1, 1, 0, 2, -0.5, -0.5, 0.5, 0.5] + [UNKNOWN] * 3
    front = Area(square, (28, 0, 56, 28), Part(1, "red", (1, 1), "brick"), True, (0, 0.5, 1))
    hidden = label_tokens((84, 28), [Area(square, (28, 0, 56, 28), part), front])
    assert hidden[1].tolist() == [0, 0, 0, 1, UNKNOWN, -0.5, -0.5, 0.5, 0.5, 0, 0.5, 1]


@pytest.mark.parametrize("size", SIZES)
def test_labels_lie_where_the_colour_is(size):
    """A token labelled with the colour of a brick has pixels near that colour."""
    agreeing = []
    for scene in manual(size).model(np.random.default_rng(5)):
        columns = BUDGET.processed_size(size)[0] // 28
        pixels = np.asarray(scene.image.resize(BUDGET.processed_size(size)), dtype=int)
        for token, label in enumerate(scene.shown):
            if label[0] < len(COLOURS):
                y, x = divmod(token, columns)
                patch = pixels[y * 28 : y * 28 + 28, x * 28 : x * 28 + 28].reshape(-1, 3)
                colour = MANUAL_LOOK.colours[COLOURS[int(label[0])]]
                distance = np.abs(patch - np.array(colour)).max(axis=1).min()
                agreeing.append(distance < 60)
    assert np.mean(agreeing) > 0.9
