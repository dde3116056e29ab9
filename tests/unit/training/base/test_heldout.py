import numpy as np
import pytest

from legor1.data.synthetic.wording import MANUAL, Instruction, Part, random_convention
from legor1.training.base import heldout
from legor1.training.base.heldout import Case, answers, cases, measure
from legor1.training.base.questions import Question


def case(task, answer, convention=MANUAL):
    return Case(None, Question(task, "", answer), convention)


def test_a_hand_made_case_is_counted_right():
    boxes = '[{"bbox_2d": [0, 0, 10, 10], "label": "1 2x2 red brick"}, '
    boxes += '{"bbox_2d": [50, 50, 60, 60], "label": "2 1x1 blue plate"}]'
    asked = [
        (case("object", boxes), boxes.replace("blue", "red")),
        (case("grounding", "Place 1 4x2 red brick on the left."),
         "Place 1 4x2 blue brick on the left."),
        (case("grounding", "Put 2 1x1 red plates at the back."),
         "Put 2 1x1 red plates at the back."),
        (case("grounding", "Place 1 2x1 red plate at the front."), "at the front"),
        (case("state", "Yes."), "Yes."),
        (case("state", "Yes."), "No."),
        (case("state", "No."), "No."),
        (case("state", "No."), "No."),
    ]  # fmt: skip
    metrics = measure(*zip(*asked, strict=True))
    third = pytest.approx(1 / 3)
    assert metrics == {
        "exact": third,
        "verb": pytest.approx(2 / 3),
        "count": pytest.approx(2 / 3),
        "colour": third,
        "size": pytest.approx(2 / 3),
        "kind": pytest.approx(2 / 3),
        "place": pytest.approx(2 / 3),
        "f1_50_labelled": 0.5,
        "balanced_accuracy": 0.75,
    }


def test_slots_are_those_of_the_booklets_own_wording():
    convention = random_convention(np.random.default_rng(1))
    text = convention.words
    told = Instruction(Part(1, "red", (2, 2), "plate"), "on the right")
    wrong = told.but("colour", "blue")
    metrics = measure(
        [case("grounding", text(told), convention), case("object", "[]"), case("state", "No.")],
        [text(wrong), "[]", "No."],
    )
    assert (metrics["exact"], metrics["colour"], metrics["place"]) == (0, 0, 1)


def test_both_looks_are_asked_about_all_tasks(recipe, monkeypatch):
    monkeypatch.setattr(heldout, "BOOKLETS", 2)
    for look in heldout.LOOKS_TESTED:
        asked = [*cases(look, recipe)]
        assert {one.question.task for one in asked} == {"object", "grounding", "state"}
        assert all(one.example.solved for one in asked)
        assert (look == "manual") == all(one.convention == MANUAL for one in asked)
        assert [one.question for one in cases(look, recipe)] == [one.question for one in asked]


def test_every_case_gets_its_own_answer(base, recipe, monkeypatch):
    monkeypatch.setattr(heldout, "BOOKLETS", 1)
    monkeypatch.setattr(heldout, "LONGEST", 4)
    asked = [*cases("manual", recipe)][:5]
    model = base[0].eval()
    together = [*answers(model, base[1], asked)]
    monkeypatch.setattr(heldout, "TOGETHER", 2)
    assert [*answers(model, base[1], asked)] == together
    assert len(together) == 5
