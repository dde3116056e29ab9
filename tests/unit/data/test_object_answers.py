"""The answers of the object task in both of the dataset's forms, and the frame of their boxes."""

import json

import pytest
from trees import BOX, Tree, reasons_of, rows_of

from legor1.core.errors import UserError
from legor1.data.lego_arta.index import index


@pytest.fixture
def tree(tmp_path):
    """A tree that has one good row, in pixels."""
    tree = Tree(tmp_path / "tree")
    tree.objects("m1/images/1_eop.png", BOX)
    return tree


def response(tree, instance_id):
    return json.loads(rows_of(tree)[0][instance_id]["response"])


def test_a_python_literal_is_read_but_never_run(tree, tmp_path):
    tree.objects("m1/images/2_eop.png", "[{'bbox_2d': (1, 2.4, 30, 40.6), 'label': \"it's\"}]")
    tree.objects("m1/images/3_eop.png", f"[open('{tmp_path}/proof', 'w')]")
    expected = [{"bbox_2d": [1, 2, 30, 41], "label": "it's"}]
    assert response(tree, "object/m1/images/2_eop") == expected
    assert reasons_of(tree) == ["answer not understood"]
    assert not (tmp_path / "proof").exists()


def test_old_answers_are_in_hundredths_of_the_image(tmp_path):
    tree = Tree(tmp_path)
    old = "<p>1 red brick</p> {<10><20><50><100>}\n<p>2 plate</p> {<0.5><0><1.5><2>}"
    tree.objects("m1/images/1_eop.png", old, "object/object_qwen.jsonl")
    assert response(tree, "object/m1/images/1_eop") == [
        {"bbox_2d": [40, 60, 200, 300], "label": "1 red brick"},
        {"bbox_2d": [2, 0, 6, 6], "label": "2 plate"},
    ]


def test_the_new_file_supersedes_the_old_one(tree):
    old = "<p>old</p> {<10><20><50><100>}"
    tree.ask("object_qwen.jsonl", "m1/images/1_eop.png", old)
    tree.objects("m1/images/2_eop.png", old, "object_qwen.jsonl")
    rows, quarantine = rows_of(tree)
    assert list(rows) == ["object/m1/images/1_eop"]
    assert rows["object/m1/images/1_eop"]["response"] == BOX
    superseded = [(entry["position"], entry["reason"]) for entry in quarantine]
    assert superseded == [(i, "superseded by object_qwen_new.jsonl") for i in (1, 2)]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('[{"bbox_2d": [1, 2, 30, 40], "label": "ImageContent"}]', "label ImageContent"),
        ("[]", "no box in the answer"),
        ("There are two bricks.", "answer not understood"),
        ('[{"bbox_2d": [1, 2, 30], "label": "a"}]', "answer not understood"),
        ('[{"bbox_2d": [1, 2, 30, Infinity], "label": "a"}]', "answer not understood"),
        ('[{"bbox_2d": [1, 2, 30, true], "label": "a"}]', "answer not understood"),
        ("[" * 100_000, "answer not understood"),
        ("<p>a</p> {<1><2><3><4>} <p>b</p>", "answer not understood"),
        ("<p>a</p> {<1><2><101><4>}", "box outside its frame"),
        ('[{"bbox_2d": [-1, 2, 30, 40], "label": "a"}]', "box outside its frame"),
        ('[{"bbox_2d": [30, 2, 1, 40], "label": "a"}]', "empty box"),
        ('[{"bbox_2d": [1, 2, 1.2, 40], "label": "a"}]', "empty box"),
        ("", "answer not understood"),
    ],
)
def test_answers_that_cannot_be_used_are_set_aside(tree, answer, reason):
    tree.objects("m1/images/2_eop.png", answer)
    assert reasons_of(tree) == [reason]


def test_boxes_are_pixels_once_one_coordinate_exceeds_100(tree):
    tree.objects("m1/images/2_eop.png", '[{"bbox_2d": [1, 2, 30, 40], "label": "a"}]')
    tree.objects("m1/images/3_eop.png", '[{"bbox_2d": [1, 2, 401, 40], "label": "a"}]')
    assert index(tree.root).summary()["object_frame"] == "pixels"
    assert response(tree, "object/m1/images/2_eop")[0]["bbox_2d"] == [1, 2, 30, 40]
    assert response(tree, "object/m1/images/3_eop")[0]["bbox_2d"] == [1, 2, 400, 40]


def test_boxes_are_hundredths_where_none_exceeds_100(tmp_path):
    tree = Tree(tmp_path)
    tree.objects("m1/images/1_eop.png", '[{"bbox_2d": [10, 20, 99, 100], "label": "a"}]')
    assert index(tree.root).summary()["object_frame"] == "percent"
    assert response(tree, "object/m1/images/1_eop")[0]["bbox_2d"] == [40, 60, 396, 300]


def test_boxes_that_fill_small_images_are_pixels(tmp_path):
    tree = Tree(tmp_path)
    answer = '[{"bbox_2d": [1, 2, 39, 28], "label": "a"}]'
    tree.objects("m1/images/1_eop.png", answer, size=(40, 30))
    assert index(tree.root).summary()["object_frame"] == "pixels"
    assert response(tree, "object/m1/images/1_eop")[0]["bbox_2d"] == [1, 2, 39, 28]


def test_boxes_in_no_common_frame_stop_the_reading(tree):
    tree.objects(
        "m1/images/2_eop.png", '[{"bbox_2d": [10, 20, 90, 95], "label": "a"}]', size=(60, 60)
    )
    with pytest.raises(UserError, match=r"row 1 .*row 2 .*60 x 60.*Remedy: "):
        index(tree.root)


@pytest.fixture
def large(tmp_path):
    """Twelve good answers in pixels, on images of 400 x 300."""
    tree = Tree(tmp_path / "large")
    for number in range(12):
        tree.objects(f"m1/images/{number}_eop.png", BOX)
    return tree


def test_an_answer_in_no_frame_is_set_aside(large):
    large.objects("m1/images/x_eop.png", '[{"bbox_2d": [10, 20, 450, 95], "label": "a"}]')
    assert reasons_of(large) == ["box outside its frame"]
    assert index(large.root).summary()["object_frame"] == "pixels"
    assert index(large.root).summary()["largest_coordinate"] == 310


def test_many_answers_in_no_frame_stop_the_reading(large):
    for name in "xy":
        answer = '[{"bbox_2d": [100, 200, 900, 950], "label": "a"}]'
        large.objects(f"m1/images/{name}_eop.png", answer)
    with pytest.raises(UserError, match=r"2 of 14 fit neither, such as .*row 13 .*Remedy: "):
        index(large.root)


def test_a_second_frame_shows_on_large_images_too(large):
    for number in range(4):
        answer = '[{"bbox_2d": [10, 20, 90, 95], "label": "a"}]'
        large.objects(f"m2/images/{number}_eop.png", answer)
    assert index(large.root).summary()["object_frame"] == "pixels"  # so few may be chance
    large.objects("m2/images/9_eop.png", answer)
    with pytest.raises(UserError, match=r"in 5 of 17 answers on large images.*Remedy: "):
        index(large.root)


def test_one_bad_answer_costs_one_row(large):
    """Outside a tiny image among pixels; above 100 among hundredths of large images."""
    large.objects("m1/images/x_eop.png", '[{"bbox_2d": [0, 0, 5, 5], "label": "a"}]', size=(1, 1))
    assert reasons_of(large) == ["box outside its frame"]
    found = index(large.root).summary()
    assert (found["object_frame"], found["largest_share"]) == ("pixels", 0.775)


def test_one_stray_answer_among_hundredths_costs_one_row(tmp_path):
    tree = Tree(tmp_path)
    for number in range(20):
        answer = '[{"bbox_2d": [10, 20, 99, 95], "label": "a"}]'
        tree.objects(f"m1/images/{number}_eop.png", answer)
    tree.objects("m1/images/x_eop.png", '[{"bbox_2d": [10, 20, 150, 95], "label": "a"}]')
    assert reasons_of(tree) == ["box outside its frame"]
    found = index(tree.root).summary()
    assert (found["object_frame"], found["largest_coordinate"]) == ("percent", 99)


def test_old_answers_have_no_say_in_the_frame_of_the_new(tree):
    tree.objects("m1/images/2_eop.png", "<p>a</p> {<10><20><90><100>}", size=(60, 60))
    assert index(tree.root).summary()["object_frame"] == "pixels"
    assert response(tree, "object/m1/images/2_eop")[0]["bbox_2d"] == [6, 12, 54, 60]
