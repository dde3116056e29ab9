"""The published evaluation: reference values of its own code, and examples worked by hand."""

import json
import math
from pathlib import Path

import pytest

from legor1.published.thesis_metrics import grounding_scores, object_scores, state_answer

FIXTURES = Path(__file__).parents[2] / "fixtures" / "thesis_scores"
EXACT = 1e-9


def rows(name):
    return [json.loads(line) for line in (FIXTURES / f"{name}.jsonl").open(encoding="utf-8")]


def items(*pairs):
    return json.dumps([{"bbox_2d": list(box), "label": label} for box, label in pairs])


AGGREGATE = json.loads((FIXTURES / "aggregate.json").read_text())
A, B = ((10, 10, 30, 30), "2 red brick"), ((50, 50, 70, 60), "1 blue plate")
TRUE = items(A, B)


def test_object_agrees_with_the_published_code():
    scores = [object_scores(row["prediction"], row["reference"]) for row in rows("object")]
    for row, (iou, f1) in zip(rows("object"), scores, strict=True):
        assert iou == pytest.approx(row["iou"], abs=EXACT), row
        assert f1 == pytest.approx(row["f1"], abs=EXACT), row
    means = [math.fsum(column) / len(scores) for column in zip(*scores, strict=True)]
    assert means == pytest.approx(
        [AGGREGATE["object"]["iou"], AGGREGATE["object"]["f1"]], abs=EXACT
    )


def test_grounding_agrees_with_the_published_code():
    names = ("f1", "rouge1", "rouge2", "rougeL", "bleu")
    scores = [grounding_scores(row["prediction"], row["reference"]) for row in rows("grounding")]
    for row, found in zip(rows("grounding"), scores, strict=True):
        assert list(found) == pytest.approx([row[name] for name in names], abs=EXACT), row
    means = [math.fsum(column) / len(scores) for column in zip(*scores, strict=True)]
    assert means == pytest.approx([AGGREGATE["grounding"][name] for name in names], abs=EXACT)


def test_state_agrees_with_the_published_code():
    answers = [(state_answer(r["prediction"]), state_answer(r["reference"])) for r in rows("state")]
    counted = [pair for pair in answers if None not in pair]
    tp, fp, fn, tn = (
        counted.count(kind) for kind in [(True, True), (True, False), (False, True), (False, False)]
    )
    assert len(counted) == AGGREGATE["state"]["counted"]
    assert 2 * tp / (2 * tp + fp + fn) == pytest.approx(AGGREGATE["state"]["f1"], abs=EXACT)
    assert fp / (fp + tn) == pytest.approx(AGGREGATE["state"]["fpr"], abs=EXACT)


@pytest.mark.parametrize(
    ("prediction", "iou", "f1"),
    [
        (TRUE, 2, 1),  # summed_iou: two perfect boxes are 2
        (items(B, A), 2, 1),
        (items(A, B, A), 2, 2 * (6 / 9 * 1) / (6 / 9 + 1)),  # six words, nine tokens
        (items(A), 1, 2 * (1 * 0.5) / 1.5),
        (items(((10, 10, 30, 20), A[1]), B), 1.5, 1),
        (items(((10, 10, 10, 30), A[1]), B), 1, 1),  # degenerate
        (items(((30, 30, 10, 10), A[1]), B), 1, 1),  # inverted
        (items(((30, 10, 10, 30), A[1]), B), 1, 1),  # inverted in x only
        (f"<think>hm</think><answer> {TRUE} </answer> so", 2, 1),
        (f"<answer>{TRUE}", 0, 0),  # a tag that is not closed is text
        (f"<ANSWER>{TRUE}</ANSWER>", 0, 0),
        (TRUE.replace('"', "'"), 2, 1),
        (TRUE[1:-1], 2, 1),  # the brackets are added
        (TRUE[:-1], 2, 1),
        (TRUE[:-2], 0, 0),
        (TRUE + " Hope it helps", 0, 0),
        (items((["1", "2", "3", "4"], "x"), B), 1, 2 * (3 / 4 * 3 / 6) / (3 / 4 + 3 / 6)),
        (items(([10, 10, 30], "2 red brick"), B), 1, 2 * (1 * 0.5) / 1.5),
        (items(([10, 10, 30, "x"], "2 red brick"), B), 1, 2 * (1 * 0.5) / 1.5),
        (items(([10, 10, 30, None], "2 red brick"), B), 1, 2 * (1 * 0.5) / 1.5),
        (items(([10, 10, 30, 10**400], "2 red brick"), B), 1, 2 * (1 * 0.5) / 1.5),
        ('[3, "x", {"bbox": [1, 2, 3, 4]}, ' + items(A)[1:], 1, 2 * (1 * 0.5) / 1.5),
        ("[[10, 10, 30, 30]]", 0, 0),
        ("[{}]", 0, 0),
        ("", 0, 0),
        ("[]", 0, 0),
        ("I see none", 0, 0),
        ("[" * 100_000, 0, 0),
    ],
)
def test_object_by_hand(prediction, iou, f1):
    assert object_scores(prediction, TRUE) == pytest.approx((iou, f1), abs=1e-12)


def test_an_apostrophe_makes_a_true_answer_unparsable():
    answer = items((A[0], "1 builder's hat"))
    assert object_scores(answer, answer) == (0, 0)


def test_repeated_words_lower_a_perfect_f1():
    answer = items(A, (B[0], "2 red plate"))  # 4 words, 6 tokens
    assert object_scores(answer, answer) == (2, pytest.approx(4 / 6))


def test_words_of_other_scripts_count():
    label = "Stück № 3 “rot”"
    answer = items((A[0], "LABEL")).replace("LABEL", label)
    assert object_scores(answer, answer) == (1, 1)
    escaped = items((A[0], label))  # \u2116 becomes \u 2116, which is no JSON
    assert object_scores(escaped, answer) == (0, 0)


def test_digits_and_letters_are_put_apart():
    def f1(label, true):
        return object_scores(items((A[0], label)), items((A[0], true)))[1]

    assert f1("2x4", "2 x4") == 1  # both: 2 x 4
    assert f1("2x4", "2 x 4") == 1
    assert f1("2   x4", "2 x4") == 1
    assert f1("2x4y", "2 x4y") == 1  # the 4 does not end at a boundary, so x4y is one word
    assert f1("2x4y", "2 x 4y") == 2 * (1 / 2 * 1 / 4) / (1 / 2 + 1 / 4)  # 2, x 4y → 2, x, 4, y
    assert f1("xy2", "xy 2") == 0


def test_a_number_with_an_exponent_is_no_json_any_more():
    assert object_scores(TRUE.replace("30", "3e1"), TRUE) == (0, 0)


@pytest.mark.parametrize("label", [3, None, ["a"], {"a": 1}])
def test_a_label_that_is_no_text_is_a_failure(label):
    assert object_scores(items(A, (B[0], label)), TRUE) == (0, 0)


def test_a_box_without_label_counts():
    answer = '[{"bbox_2d": [10, 10, 30, 30]}]'
    assert object_scores(answer, TRUE) == (1, 0)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("place", range(4))
def test_a_coordinate_that_is_no_number_overlaps_nothing(number, place):
    box = ["10", "10", "30", "30"]
    box[place] = number
    answer = f'[{{"bbox_2d": [{", ".join(box)}], "label": "2 red brick"}}]'
    assert object_scores(answer, answer)[0] == 0


def test_true_is_one_and_text_that_converts_is_a_number():
    answer = '[{"bbox_2d": [false, "0", true, " 1 "], "label": "x"}]'
    assert object_scores(answer, '[{"bbox_2d": [0, 0, 1, 1], "label": "x"}]') == (1, 1)


def test_of_two_equal_keys_the_last_counts():
    answer = '[{"bbox_2d": [0, 0, 1, 1], "label": "x", "bbox_2d": [10, 10, 30, 30]}]'
    assert object_scores(answer, TRUE)[0] == 1


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        ("Press the red brick.", "Press the red brick.", (1, 1, 1, 1, 1)),
        ("<answer>Press the red brick.</answer>", "press the RED brick.", (1, 1, 1, 1, 1)),
        # the same words in another order: theme, ROUGE-1; one bigram of three; LCS 2 of 4
        ("red brick press the", "press the red brick", (1, 1, 2 / 3, 0.5, None)),
        # 4 of 5 and 6 words, theme: 8 / 11; stemming: bricks is brick to ROUGE alone
        ("press bricks", "press brick", (0.5, 1, 1, 1, None)),
        ("", "press the brick", (0, 0, 0, 0, 0)),
        ("press the brick", "", (0, 0, 0, 0, 0)),
        ("", "", (0, 0, 0, 0, 0)),
        ("…", "…", (1, 0, 0, 0, None)),  # a token to NLTK, no word to ROUGE
        ("press", "turn", (0, 0, 0, 0, 0)),
        # Mr. is no end of a sentence, and a token; the last full stop is another
        ("Mr. Brick's hat.", "Mr. Brick's hat.", (1, 1, 1, 1, 1)),
    ],
)
def test_grounding_by_hand(prediction, reference, expected):
    found = grounding_scores(prediction, reference)
    assert all(0 <= score <= 1 for score in found)
    for score, wanted in zip(found, expected, strict=True):
        assert wanted is None or score == pytest.approx(wanted)


def test_bleu_by_hand():
    # 3 of 4 words, 1 of 3 pairs, then 0.1 of 2 and 0.1 of 1: smoothing method 1; equal lengths
    score = grounding_scores("press the blue brick", "press the red brick")[4]
    assert score == pytest.approx((3 / 4 * 1 / 3 * 0.1 / 2 * 0.1 / 1) ** 0.25)
    # a shorter prediction pays exp(1 − 4 / 3)
    score = grounding_scores("press the red", "press the red brick")[4]
    assert score == pytest.approx((1 * 1 * 1 * 0.1) ** 0.25 * math.exp(1 - 4 / 3))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Yes.", True),
        ("No, yes", False),
        ("I think no... yes", False),
        ("<think>no</think> <answer> YES </answer>", True),
        ("<think>no</think> yes", False),  # without a tag the thinking is text too
        ("<ANSWER>no</ANSWER> yes", False),
        ("<answer>yes", True),
        ("<answer>Not sure</answer> yes", None),
        ("Nope, yesterday", None),
        ("ye\u017f", None),
        ("", None),
    ],
)
def test_state_by_hand(text, answer):
    assert state_answer(text) is answer
