import json
import math
import re
from itertools import chain, pairwise
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from legor1.core.errors import UserError
from legor1.core.seeding import generator
from legor1.data.synthetic import bricks, dataset, scenes
from legor1.data.synthetic.bricks import Brick, Camera, mix
from legor1.data.synthetic.dataset import parse_sizes, synthesize
from legor1.data.synthetic.looks import COLOURS, MANUAL_LOOK, random_look

SMALL = {"manuals": 2, "steps": 5, "objects": 3, "seed": 11, "image_sizes": [(96, 72), (72, 96)]}
SIZES = [(480, 360), (360, 480), (540, 300), (224, 168)]
LOOKS = (MANUAL_LOOK, random_look(generator(0, "look", "1")))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("drawn") / "tree"
    synthesize(root, **SMALL)
    return root


def dialogues(root: Path, task: str) -> list[list[dict]]:
    text, rows, at = (root / "qwen_data" / dataset.FILES[task]).read_text(), [], 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        row, at = json.JSONDecoder().raw_decode(text, at)
        rows.append(row)
    return rows


def uris(root: Path, task: str) -> list[str]:
    contents = [row[0]["content"] for row in dialogues(root, task)]
    return [part["image"] for content in contents for part in content if part["type"] == "image"]


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_projection_of_known_points():
    camera = Camera(yaw=45, pitch=30, scale=10, left=100, top=50)
    half = math.sqrt(0.5)
    assert camera.project(1, 0, 0) == pytest.approx((100 + 10 * half, 50 + 5 * half))
    assert camera.project(0, 1, 0) == pytest.approx((100 - 10 * half, 50 + 5 * half))
    assert camera.project(0, 0, 5)[1] == pytest.approx(50 - 10 * 5 * 0.4 * math.cos(math.pi / 6))


def test_mix_moves_towards_white_and_black():
    assert mix((100, 0, 200), 0.5) == (178, 128, 228)
    assert mix((100, 0, 200), -0.5) == (50, 0, 100)


def test_what_hides_is_drawn_later():
    below = Brick(2, 2, 0, 2, 2, "brick", "red")
    above = Brick(2, 2, 3, 2, 2, "plate", "blue")
    front = Brick(4, 2, 0, 2, 2, "brick", "green")
    back = Brick(0, 0, 0, 2, 2, "brick", "white")
    ordered = bricks.sort_by_depth([front, above, below, back])
    for earlier, later in ((below, above), (below, front), (back, below)):
        assert ordered.index(earlier) < ordered.index(later)


def test_visible_share_of_hidden_and_free_bricks():
    small, tall = Brick(0, 0, 0, 1, 1, "plate", "red"), Brick(1, 1, 0, 4, 4, "brick", "blue")
    look = MANUAL_LOOK
    assert bricks.visible_share([small, tall], [tall], look) == 1
    assert bricks.visible_share([small, tall], [small], look) < 0.6


@pytest.mark.parametrize("look", LOOKS, ids=["manual", "random"])
@pytest.mark.parametrize("size", SIZES)
def test_boxes_are_tight(monkeypatch, look, size):
    monkeypatch.setattr(bricks.Picture, "shadow", lambda *_, **__: None)
    monkeypatch.setattr(bricks.Picture, "text", lambda *_: None)
    empty = scenes.empty_panel(size, look).reduce(bricks.OVERSAMPLING)
    for number in range(40):
        picture, found = scenes.draw_call_out(generator(1, "box", str(number)), size, look)
        drawn = ImageChops.difference(picture, empty)
        for box, _ in found:
            inked = drawn.crop(box).getbbox()
            wide, tall = box[2] - box[0], box[3] - box[1]
            assert inked[0] <= 1 and inked[1] <= 2
            assert inked[2] >= wide - 1 and inked[3] >= tall - 1
            drawn.paste((0, 0, 0), box)
        assert drawn.getbbox() is None, "something was drawn outside the boxes"


@pytest.mark.parametrize("look", LOOKS, ids=["manual", "random"])
@pytest.mark.parametrize("size", SIZES)
def test_call_outs_are_legible_and_in_reading_order(look, size):
    label = re.compile(rf"[1-4] [1234]x[12] ({'|'.join(COLOURS)}) (brick|plate)")
    counts = set()
    for number in range(60):
        _, found = scenes.draw_call_out(generator(2, "read", str(number)), size, look)
        counts.add(len(found))
        assert all(label.fullmatch(part.label) for _, part in found)
        assert len({part.label.split(" ", 1)[1] for _, part in found}) == len(found)
        for x1, y1, x2, y2 in (box for box, _ in found):
            assert 0 <= x1 < x2 <= size[0] and 0 <= y1 < y2 <= size[1]
            assert 0.1 < (x2 - x1) / size[0] < 0.53 and 0.1 < (y2 - y1) / size[1] < 0.53
        for (a, _), (b, _) in pairwise(found):
            assert b[0] >= a[2] or b[1] >= a[3], "to the right, or in a row below"
    assert counts == {1, 2, 3, 4}


@pytest.mark.parametrize("look", LOOKS, ids=["manual", "random"])
def test_models_stand_and_the_new_bricks_are_seen(look):
    for number in range(40):
        steps = list(scenes.grow_model(generator(3, "model", str(number)), look))
        assert 3 <= len(steps) <= 6 and not steps[0].before
        for step in steps:
            every, one = [*step.before, *step.added], step.added[0]
            count, _, colour, kind = step.text.split(" ")[1:5]
            assert (int(count), colour) == (len(step.added), one.colour)
            assert kind.rstrip("s.") == one.kind
            assert bricks.visible_share(every, step.added, look) > 0.7
            assert all(b.z == 0 or any(b.z == c.top for c in step.before) for b in step.added)
            assert all(a.before(b) or b.before(a) for a in every for b in every if a is not b)


def test_places_in_words_are_places_on_the_picture():
    camera = scenes.board_camera((480, 360), MANUAL_LOOK)

    def centre(phrase):
        brick = scenes._place(scenes.Part(1, "red", (2, 2), "plate"), False, phrase)[0]
        return camera.project(brick.x + 1, brick.y + 1, 0)

    middle = centre("in the middle")
    assert centre("on the left")[0] < middle[0] < centre("on the right")[0]
    assert centre("at the back")[1] < middle[1] < centre("at the front")[1]


def test_a_falsified_step_is_wrong_in_one_way():
    ways = set()
    models = (scenes.grow_model(generator(4, "model", str(n)), MANUAL_LOOK) for n in range(30))
    for number, step in enumerate(chain.from_iterable(models)):
        wrong = scenes.falsify(generator(4, "fake", str(number)), step, MANUAL_LOOK)
        if not wrong:
            assert step.before, "or all manuals would show the same bare board"
            ways.add("missing")
            continue
        assert len(wrong) == len(step.added)
        one, other = step.added[0], wrong[0]
        assert (one.width, one.depth, one.kind) == (other.width, other.depth, other.kind)
        moved, recoloured = (one.x, one.y) != (other.x, other.y), one.colour != other.colour
        assert moved != recoloured
        ways.add("moved" if moved else "recoloured")
    assert ways == set(scenes.FALSIFICATIONS) == {"missing", "moved", "recoloured"}


def test_true_and_falsified_pictures_differ_in_content_alone(tree):
    for fake in tree.glob("step_dataset/lego/*/images/*_step_fake?.png"):
        name = f"{fake.stem.split('_fake')[0]}.png"
        true = tree / "lego" / fake.parts[-3] / "images" / name
        with Image.open(true) as one, Image.open(fake) as other:
            assert (one.size, one.mode, one.info) == (other.size, other.mode, other.info)
            assert ImageChops.difference(one, other).getbbox() is not None


def test_rows_and_pictures_asked_for_are_there(tree):
    manuals, steps, objects = SMALL["manuals"], SMALL["steps"], SMALL["objects"]
    assert len(list(tree.glob("lego/*/images/*_step.png"))) == manuals * steps
    assert len(list(tree.glob("step_dataset/lego/*/images/*_step_fake?.png"))) == manuals * steps
    for folder, task, regular in (
        ("lego", "grounding", manuals * steps),
        ("object_dataset/lego", "object", manuals * objects + 1),  # and an ImageContent
        ("step_dataset/lego", "state", manuals * (steps + 2)),  # and true copies of steps 1 and 5
    ):
        below = {
            uri.split("lego/", 1)[1].replace("_stepfake", "_step_fake") for uri in uris(tree, task)
        }
        assert sum((tree / folder / path).is_file() for path in below) == regular


def test_instructions_say_what_the_dialogues_say(tree):
    for path in tree.glob("json_data/*.json"):
        manual = json.loads(path.read_text())
        assert manual["manual_id"] == path.stem
        told = manual["instructions"]
        assert [row["instruction_id"] for row in told] == list(range(len(told)))
        text = {row["VLM"]["img_path"].rsplit("/")[-1]: row["text"] for row in told if row["VLM"]}
        for asked, answered in dialogues(tree, "grounding"):
            uri = asked["content"][0].get("image", "")
            if f"/{path.stem}/" in uri and uri.rsplit("/")[-1] in text:
                assert text[uri.rsplit("/")[-1]] == [answered["content"][0]["text"]]


def test_every_oddity_is_there_once(tree):
    answers = [row[1]["content"][0]["text"] for row in dialogues(tree, "object")]
    assert sum(answer.startswith("[{'") for answer in answers) == 1
    assert sum("ImageContent" in answer for answer in answers) == 1
    assert len(uris(tree, "object")) - len(set(uris(tree, "object"))) == 1
    assert sum("_stepfake2.png" in uri for uri in uris(tree, "state")) == 1
    assert len(dialogues(tree, "grounding")) - len(uris(tree, "grounding")) == 1
    missing = [u for u in uris(tree, "grounding") if not (tree / u.split("/arta/")[1]).exists()]
    assert len(missing) == 1
    told = [json.loads(p.read_text())["instructions"] for p in tree.glob("json_data/*.json")]
    every = [row for manual in told for row in manual]
    assert any(row["VLM"] is None for row in every)
    assert sum(isinstance(row["text"], str) for row in every) == 1
    assert any(isinstance(row["VLM"]["step_num"], str) for row in every if row["VLM"])
    assert sum(row["VLM"]["step_class"] is None for row in every if row["VLM"]) == 1


def test_the_tree_is_the_same_however_many_draw_it(tree, tmp_path):
    synthesize(tmp_path / "again", **SMALL, workers=2)
    assert contents(tmp_path / "again") == contents(tree)


def test_asking_for_more_changes_no_picture(tree, tmp_path):
    synthesize(tmp_path / "more", **{**SMALL, "manuals": 3, "steps": 6, "objects": 5})
    more = contents(tmp_path / "more")
    for path, data in contents(tree).items():
        if path.endswith(".png") and "fake2" not in path:
            assert more[path] == data


def test_the_seed_changes_the_pictures(tree, tmp_path):
    path = "object_dataset/lego/lego-demo-001/images/1_eop.png"
    one = {**SMALL, "manuals": 1, "steps": 1, "objects": 1}
    synthesize(tmp_path / "seed", **{**one, "seed": 12})
    assert (tmp_path / "seed" / path).read_bytes() != (tree / path).read_bytes()


def test_only_a_tree_of_ours_is_replaced(tmp_path):
    one = {**SMALL, "manuals": 1, "steps": 1, "objects": 1}
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="Remedy"):
        synthesize(foreign, **one)
    assert (foreign / "thesis.txt").read_text() == "years of work"
    synthesize(tmp_path / "ours", **one)
    synthesize(tmp_path / "ours", **{**one, "objects": 2})
    assert (tmp_path / "ours/object_dataset/lego/lego-demo-001/images/2_eop.png").is_file()


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError

    monkeypatch.setattr(dataset, "_write_texts", fail)
    with pytest.raises(RuntimeError):
        synthesize(tmp_path / "tree", **{**SMALL, "manuals": 1})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_the_users_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Remedy"):
        synthesize(tmp_path / "file" / "tree", **SMALL)


@pytest.mark.parametrize(
    "wrong", [{"manuals": 0}, {"steps": -1}, {"image_sizes": []}, {"workers": 0}]
)
def test_senseless_arguments_are_refused_first(tmp_path, wrong):
    with pytest.raises(UserError, match="Remedy"):
        synthesize(tmp_path / "tree", **{**SMALL, **wrong})
    assert list(tmp_path.iterdir()) == []


def test_sizes_are_read():
    assert parse_sizes("480x360, 360x480") == ((480, 360), (360, 480))


@pytest.mark.parametrize("text", ["", "480", "480x", "480x360;1x1", "0x0", "90000x90000", "400x90"])
def test_nonsense_sizes_are_refused(text):
    with pytest.raises(UserError, match="Remedy"):
        parse_sizes(text)
