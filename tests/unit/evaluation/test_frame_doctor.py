import json

import numpy as np
import pytest
from PIL import Image

from legor1.cli.main import main
from legor1.core.boxes import PixelBudget, rescale
from legor1.core.errors import UserError
from legor1.evaluation.frame_doctor import diagnose

BUDGET = PixelBudget(3136, 401408, 28)
SIZES = [(1600, 1200), (900, 1400)]


def predictions(path, **facts):
    """Write 30 predictions in [0, 1000], as another trainer has them; return their file."""
    rng, rows = np.random.default_rng(0), []
    for number in range(30):
        size = SIZES[number % 2]
        low = rng.random(2) * size * 0.7
        box = [*low, *(low + rng.uniform(0.1, 0.3, 2) * size)]
        said = [round(x) for x in rescale(box, size, (1000, 1000))]
        row = {"image": f"{number % 2}.png", "prediction": f"```json\n[{{'bbox_2d': {said}}}]```"}
        row["reference"] = json.dumps([{"bbox_2d": [round(x) for x in box], "label": "brick"}])
        rows.append(row | facts)
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def tree(tmp_path):
    for number, size in enumerate(SIZES):
        Image.new("RGB", size).save(tmp_path / f"{number}.png")
    return tmp_path


def test_the_images_of_the_tree_say_how_large_they_are(tree):
    found = diagnose(predictions(tree / "p.jsonl"), tree, BUDGET)
    assert (found["best"], found["images"]) == ("thousandths", 30)
    assert {(s["width"], s["height"]) for s in found["sizes"]} == set(SIZES)
    assert all(s["best"] == "thousandths" for s in found["sizes"])


def test_what_the_model_itself_said_counts_before_what_was_made_of_it(tree):
    converted = json.dumps([{"bbox_2d": [1, 2, 3, 4], "label": "brick"}])
    path = predictions(tree / "p.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [row | {"completion": row["prediction"], "prediction": converted} for row in rows]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert diagnose(path, tree, BUDGET)["best"] == "thousandths"


def test_sizes_in_the_lines_spare_opening_images(tmp_path):
    facts = {"width": 1000, "height": 1000, "processed_width": 560, "processed_height": 560}
    found = diagnose(predictions(tmp_path / "p.jsonl", **facts), None, BUDGET)
    assert [(s["width"], s["processed_width"]) for s in found["sizes"]] == [(1000, 560)]


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"reference": 3}, "line 1: .*reference, is not text"),
        ({"width": 0, "height": 5}, "line 1: width and height are not whole numbers above 0"),
        ({"image": 7}, "line 1: it has neither width and height nor the image"),
        ({}, "line 1: the size of 0.png is not given; name the folder with --tree"),
        ({"reference": "Yes."}, "has no line whose reference is a list of boxes"),
    ],
)
def test_a_line_that_tells_nothing_is_named(tmp_path, facts, named):
    with pytest.raises(UserError, match=named):
        diagnose(predictions(tmp_path / "p.jsonl", **facts), None, BUDGET)


def test_the_command_names_the_frame_last(tree, capsys):
    given = predictions(tree / "p.jsonl"), "--tree", tree, "--out", tree / "f.json"
    assert main(["frame", *map(str, given)]) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("frame thousandths: iou ")
    assert last.startswith("frame: best thousandths, certainty 1.000")
    assert json.loads((tree / "f.json").read_text())["best"] == "thousandths"
