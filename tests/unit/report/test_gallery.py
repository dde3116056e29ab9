import base64
import re

import pytest
from PIL import Image
from report_run import row

from legor1.report import gallery
from legor1.report.study import read


def test_gallery_holds_best_worst_and_a_fixed_lot(run):
    rows = [row(f"object/m/{i}") for i in range(20)]
    run.predict("sft", *rows, iou=[i / 20 for i in range(20)])
    run.configure(report={"title": "T", "gallery": 6})
    lot, best, worst = gallery.groups(read(run.folder))
    assert [one.instance_id for one in best.examples] == ["object/m/19"]
    assert [one.instance_id for one in worst.examples] == ["object/m/0"]
    chosen = {one.instance_id for one in lot.examples}
    assert len(chosen) == 4 and not chosen & {"object/m/19", "object/m/0"}

    run.predict("grpo", *reversed(rows))  # the order of rows, and more experiments, change nothing
    assert {one.instance_id for one in gallery.groups(read(run.folder))[0].examples} == chosen


def test_no_gallery_is_wanted(run):
    run.predict("sft", row())
    run.configure(report={"title": "T", "gallery": 0})
    assert gallery.groups(read(run.folder)) == []


def test_an_example_says_what_each_experiment_answered(run):
    run.image("a.png")
    state = row("state/m/1", "state", reference="No.")
    run.predict(
        "sft", row(prediction="[{", finished=False), state | {"prediction": "Yes."}, iou=[0, 0]
    )
    run.predict("grpo", row(), state | {"prediction": "no"}, iou=[1, 0])
    run.predict("few_shot", state | {"prediction": "Perhaps."})
    objects, states = gallery.groups(read(run.folder))
    unreadable, perfect = objects.examples[0].answers
    assert unreadable.parts is None and not unreadable.finished
    assert perfect.parts == [("a", "2 red 2x4 brick")]
    assert perfect.scores == [("IoU", "100.0")]
    assert objects.examples[0].parts == [("1", "2 red 2x4 brick")]
    assert [a.verdict for a in states.examples[0].answers] == ["unreadable", "wrong", "right"]


def test_boxes_are_drawn_in_pixels_of_the_original(run):
    run.predict("sft", row(width=800, height=600))
    (group,) = gallery.groups(read(run.folder))
    picture = group.examples[0].answers[0].picture
    assert 'viewBox="0 0 800 600"' in picture
    true, predicted = re.findall(r'<rect ([^>]*)class="box [^"]*"', picture)
    assert true == predicted == 'x="40" y="30" width="160" height="120" '


@pytest.mark.parametrize("box", ["[9e8, 9e8, -9e8, 5]", "[200, 150, 40, 30]", "[5, 5, 5, 5]"])
def test_odd_boxes_stay_drawable(run, box):
    run.predict("sft", row(prediction=f'[{{"bbox_2d": {box}, "label": "x"}}]'))
    picture = gallery.groups(read(run.folder))[0].examples[0].answers[0].picture
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
        assert gallery.thumbnail(tree, name) is None
    content = base64.b64decode(gallery.thumbnail(tree, "a.png").partition(",")[2])
    (tmp_path / "small.jpg").write_bytes(content)
    with Image.open(tmp_path / "small.jpg") as small:
        assert small.size == (400, 100)
