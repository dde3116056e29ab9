"""Which examples are chosen, and what is shown of them."""

import base64
import re

import pytest
from PIL import Image
from report_run import conversation, row, turn

from legor1.core.files import write_jsonl
from legor1.report.gallery import pictures
from legor1.report.gallery.examples import mark
from legor1.report.gallery.gallery_page import choose, gather, reasons
from legor1.report.study import read

YES_NO = {"prediction": "Yes.", "completion": "Yes.", "reference": "No."}


def chosen(run, most=1, task="object"):
    return choose(read(run.folder), most)[task]


def shown(run):
    return gather(read(run.folder), None).every


def test_best_worst_disputed_and_a_lot_that_the_order_of_rows_does_not_change(run):
    rows = [row(f"object/m/{i}") for i in range(20)]
    iou = [i / 20 for i in range(20)]
    run.predict("sft", *rows, iou=iou)
    run.predict("grpo", *reversed(rows), iou=[1.0 if i == 7 else iou[i] for i in range(19, -1, -1)])
    found = chosen(run, 2)
    assert found["best"] == ["object/m/19", "object/m/18"]
    assert found["worst"] == ["object/m/0", "object/m/1"]
    assert found["disputed"] == ["object/m/7"]  # of no other do the scores differ
    assert len(found["lot"]) == 2

    write_jsonl(run.folder / "predictions/sft.jsonl", rows[::-1])
    assert chosen(run, 2) == found
    run.configure(seed=43)
    assert chosen(run, 2)["lot"] != found["lot"]
    assert chosen(run, 2)["best"] == found["best"]


def test_examples_of_one_score_are_neither_best_nor_worst_and_in_no_dispute(run):
    run.predict("sft", *(row(f"object/m/{i}") for i in range(4)))
    found = chosen(run, 3)
    assert (found["best"], found["worst"], found["disputed"]) == ([], [], [])
    assert len(found["lot"]) == 3


def test_a_state_is_in_dispute_where_one_is_right_and_another_wrong(run):
    states = [row(f"state/m/{i}", "state", **YES_NO) for i in range(3)]
    run.predict("sft", *states)
    run.predict("grpo", states[0], states[1] | {"prediction": "No."}, states[2])
    run.predict("few_shot", states[0] | {"prediction": "Who knows?"}, states[1])
    found = chosen(run, 1, "state")
    assert found["disputed"] == found["best"] == ["state/m/1"]
    assert found["worst"][0] in ("state/m/0", "state/m/2")


def test_an_example_has_all_its_reasons():
    assert reasons({"best": ["a"], "worst": [], "lot": ["b", "a"]}) == {
        "a": ["best", "lot"],
        "b": ["lot"],
    }


@pytest.mark.parametrize(
    ("task", "prediction", "score", "said"),
    [
        ("object", "[]", 1.0, "right"),
        ("object", "[]", 0.99, "wrong"),
        ("object", "[{", 0.0, "unreadable"),
        ("grounding", "<think>well", 0.0, "unreadable"),
        ("grounding", "Place it.", 1.0, "right"),
        ("grounding", "Place it.", 0.0, "wrong"),
        ("grounding", "Place it.", float("nan"), ""),  # not scored
        ("state", "No.", float("nan"), "right"),
        ("state", "Yes.", 1.0, "wrong"),
        ("state", "Maybe.", 0.0, "unreadable"),
    ],
)
def test_the_mark_of_an_answer(task, prediction, score, said):
    assert mark(row("x", task, prediction=prediction, reference="No."), score) == said


def test_an_id_with_half_a_surrogate_is_shown(run):
    run.predict("sft", row("object/a"))
    whole = (run.folder / "predictions/sft.jsonl").read_text()
    (run.folder / "predictions/sft.jsonl").write_text(whole.replace("object/a", "object/\\ud83d"))
    assert "object/\ufffd" in run.gallery().text


def test_no_gallery_is_wanted(run):
    run.predict("sft", row())
    run.configure(report={"title": "T", "gallery": 0})
    assert shown(run) == {}


def test_an_example_says_what_each_experiment_answered(run):
    run.image("a.png")
    state = row("state/m/1", "state", reference="No.")
    thought = "<think>1 < 2</think>[{"
    run.predict(
        "sft",
        row(prediction="[{", completion=thought, finished=False),
        state | {"prediction": "Yes."},
        iou=[0, 0],
    )
    run.predict("grpo", row(), state | {"prediction": "no"}, iou=[1, 0])
    run.predict("few_shot", state | {"prediction": "Perhaps."})
    (example,) = shown(run)["object"]
    unreadable, perfect = example.answers
    assert unreadable.parts is None and not unreadable.finished
    assert unreadable.completion == [(True, "<think>1 < 2</think>"), (False, "[{")]
    assert perfect.parts == [("a", "2 red 2x4 brick")]
    assert perfect.scores == [("IoU", "100.0")]
    assert example.parts == [("1", "2 red 2x4 brick")]
    (state,) = shown(run)["state"]
    assert [a.mark for a in state.answers] == ["unreadable", "wrong", "right"]


def test_the_prompt_is_what_the_model_read(run):
    """Boxes are in the frame that the model sees; those who were asked the same stand together."""
    run.image("a.png")
    for name in ("few_shot", "sft", "grpo"):
        run.predict(name, row())
    asked = conversation(row()["instance_id"], demonstrations=[turn("Like this?")])
    write_jsonl(run.folder / "data/sound/plain/test.jsonl", [asked, conversation("object/other")])
    without = {"method": "grpo", "demonstrations": False}
    run.configure(experiments=run.config["experiments"] | {"grpo": without})
    shot, zero = shown(run)["object"][0].asked
    assert [e.name for e in shot.experiments] == ["few_shot", "sft"]
    assert [e.name for e in zero.experiments] == ["grpo"]
    assert zero.demonstrations == [] and zero.prompt == shot.prompt == "Which parts?"
    (solved,) = shot.demonstrations
    assert solved.prompt == "Like this?"
    # 400 × 300 pixels are seen as 392 × 280
    assert '"bbox_2d": [39, 28, 196, 140]' in solved.answer
    assert 'class="box true"' in solved.picture and 'x="40" y="30"' in solved.picture


def test_boxes_are_drawn_in_pixels_of_the_original(run):
    run.predict("sft", row(width=800, height=600))
    picture = shown(run)["object"][0].answers[0].picture
    assert 'viewBox="0 0 800 600"' in picture
    true, predicted = re.findall(r'<rect ([^>]*)class="box [^"]*"', picture)
    assert true == predicted == 'x="40" y="30" width="160" height="120" '


@pytest.mark.parametrize("box", ["[9e8, 9e8, -9e8, 5]", "[200, 150, 40, 30]", "[5, 5, 5, 5]"])
def test_odd_boxes_stay_drawable(run, box):
    run.predict("sft", row(prediction=f'[{{"bbox_2d": {box}, "label": "x"}}]'))
    picture = shown(run)["object"][0].answers[0].picture
    numbers = [float(x) for x in re.findall(r' (?:x|y|cx|cy)="([^"]*)"', picture)]
    sizes = [float(x) for x in re.findall(r' (?:width|height)="([^"]*)"', picture)]
    assert all(-400 <= x <= 800 for x in numbers) and all(0 <= x <= 1200 for x in sizes)


def test_images_outside_the_tree_are_not_read(run, tmp_path):
    run.image("a.png", (1200, 300))
    tree = run.folder / "data" / "tree"
    (tree.parent / "secret.png").write_bytes((tree / "a.png").read_bytes())
    (tree / "link.png").symlink_to(tree.parent / "secret.png")
    (tree / "note.png").write_text("no image")
    for name in ("../secret.png", str(tree.parent / "secret.png"), "link.png", "note.png", "x\0"):
        assert pictures.read(tree, name) is None
    content = base64.b64decode(pictures.embedded(pictures.read(tree, "a.png")).partition(",")[2])
    (tmp_path / "small.jpg").write_bytes(content)
    with Image.open(tmp_path / "small.jpg") as small:
        assert small.size == (400, 100)
