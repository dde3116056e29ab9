"""Answers from elsewhere become an experiment's predictions, or say why not."""

import json

import pytest
from inference_cases import draw_mixed_rows

from legor1.cli import main
from legor1.core.boxes import rescale_text, to_shown
from legor1.core.errors import UserError
from legor1.core.files import read_jsonl, write_jsonl
from legor1.data.sources import describe_model
from legor1.inference.external import question, take_answers
from legor1.models.registry import DEFAULT
from legor1.planning.preflight import TINY_BASE

BUDGET = {"min_pixels": 9408, "max_pixels": 15680}
PIXELS = DEFAULT.budget(**BUDGET)


class Elsewhere:
    """Test conversations, and another program's answers to them."""

    def __init__(self, folder):
        (folder / "tree").mkdir()
        self.folder, self.rows = folder, draw_mixed_rows(folder / "tree")
        write_jsonl(folder / "test.jsonl", self.rows)
        describe_model(TINY_BASE, "tiny", None, folder / "model.json")

    def take(self, lines, frame="asked"):
        """Return the predictions that the lines become."""
        write_jsonl(self.folder / "answers.jsonl", lines)
        recipe = {"frame": frame, "pixel_budget": BUDGET}
        files = [self.folder / name for name in ("test.jsonl", "model.json", "out.jsonl")]
        count = take_answers(self.folder / "answers.jsonl", recipe, *files)
        made = read_jsonl(files[-1])
        assert len(made) == count
        return made

    def refused(self, lines, said, **given):
        with pytest.raises(UserError, match=said) as error:
            self.take(lines, **given)
        assert "Remedy: " in str(error.value) and str(self.folder) in str(error.value)
        assert not (self.folder / "out.jsonl").exists()

    def right(self, shown=to_shown):
        """Return true answers, boxes as the model is shown them."""
        return [
            {
                "instance_id": row["instance_id"],
                "completion": shown(row["response"], (row["width"], row["height"]), PIXELS),
            }
            for row in self.rows
        ]


@pytest.fixture
def elsewhere(tmp_path):
    return Elsewhere(tmp_path)


def test_answers_are_matched_by_id_in_any_order_and_read_as_asked(elsewhere):
    made = elsewhere.take(elsewhere.right()[::-1])
    assert [row["instance_id"] for row in made] == [row["instance_id"] for row in elsewhere.rows]
    for row, true in zip(made, elsewhere.rows, strict=True):
        assert row["reference"] == true["response"]
        if true["task"] != "object":
            continue
        (found,), (expected,) = map(json.loads, (row["prediction"], true["response"]))
        pairs = zip(found["bbox_2d"], expected["bbox_2d"], strict=True)
        assert max(abs(a - b) for a, b in pairs) <= 2


@pytest.mark.parametrize(
    ("frame", "size"),
    [("original", lambda size: size), ("thousandths", lambda _: (1000, 1000))],
)
def test_boxes_of_a_named_frame_are_put_into_pixels(elsewhere, frame, size):
    def shown(text, image, _):
        return rescale_text(text, image, size(image))

    made = elsewhere.take(elsewhere.right(shown), frame)
    boxes = [json.loads(row["prediction"])[0]["bbox_2d"] for row in made if row["task"] == "object"]
    true = [json.loads(row["response"])[0]["bbox_2d"] for row in elsewhere.rows]
    for found, expected in zip(boxes, true, strict=False):
        assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= 1
    (elsewhere.folder / "out.jsonl").unlink()
    elsewhere.refused(elsewhere.right(shown), f"in the frame {frame}, not processed")


def test_llamafactorys_lines_are_matched_by_their_order_and_questions(elsewhere):
    lines = [
        {"prompt": f"user\n<image>{row['prompt']}\nassistant\n", "predict": "No.", "label": "x"}
        for row in elsewhere.rows
    ]
    assert {row["completion"] for row in elsewhere.take(lines)} == {"No."}
    (elsewhere.folder / "out.jsonl").unlink()
    elsewhere.refused(lines[1:] + lines[:1], r"line \d+ does not ask what")
    elsewhere.refused(lines[1:], "has 9 lines without instance_id, the test conversations are 10")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "image"}, {"text": "So?"}]}]}, "So?"),
        ({"messages": [{"role": "user", "content": "Which?"}, 3, {"content": None}]}, "Which?"),
        ({"prompt": ["Which?"]}, "Which?"),
        ({"prompt": {}}, ""),
        ({}, ""),
    ],
)
def test_a_question_is_read_from_whatever_form_it_has(line, said):
    assert question(line) == said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[1:], "has no answer to .*, and lacks 1 of 10"),
        (lambda lines: [*lines, lines[0]], "line 11: .*answers a second time"),
        (lambda lines: [*lines, {"instance_id": "object/z", "completion": ""}], "is not among"),
        (lambda lines: [*lines[1:], {"completion": "Yes."}], "line 10: instance_id None is not"),
        (lambda lines: [lines[0] | {"completion": 3}, *lines[1:]], "no text under completion"),
        (lambda lines: [{"instance_id": lines[0]["instance_id"]}, *lines[1:]], "no text under"),
    ],
)
def test_what_does_not_belong_together_is_refused(elsewhere, change, said):
    elsewhere.refused(change(elsewhere.right()), said)


def test_the_command_takes_its_recipe_as_text(elsewhere, capsys):
    write_jsonl(elsewhere.folder / "answers.jsonl", elsewhere.right())
    recipe = json.dumps({"frame": "asked", "pixel_budget": BUDGET})
    names = {"--conversations": "test.jsonl", "--base": "model.json", "--out": "out.jsonl"}
    given = ["import-answers", str(elsewhere.folder / "answers.jsonl"), "--recipe", recipe]
    for option, name in names.items():
        given += [option, str(elsewhere.folder / name)]
    assert main.main(given) == 0
    assert "predictions 10" in capsys.readouterr().out


def test_the_files_own_reference_is_kept_for_the_published_scoring(elsewhere):
    for row in elsewhere.rows:
        row["file_response"] = f"as filed: {row['response']}"
    write_jsonl(elsewhere.folder / "test.jsonl", elsewhere.rows)
    filed = [row["file_response"] for row in elsewhere.rows]
    assert [row["file_reference"] for row in elsewhere.take(elsewhere.right())] == filed
