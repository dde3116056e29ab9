import json

import pytest
from PIL import Image, ImageDraw
from trees import check_schema

from legor1 import prompts
from legor1.boxes import FRAMES, rescale_text, to_original
from legor1.check import TINY_BASE
from legor1.data.sources import describe_model
from legor1.errors import UserError
from legor1.files import read_jsonl, write_jsonl
from legor1.inference.gather import gather
from legor1.inference.predict import Predictor, predict
from legor1.resume import fingerprint

RECIPE = {
    "experiment": "few_shot",
    "device": "cpu",
    "precision": "float32",
    "attention": "sdpa",
    "threads": 1,
    "pixel_budget": {"min_pixels": 9408, "max_pixels": 15680},
    "demonstrations": True,
    "engine": "transformers",
    "batch_tokens": 2000,
    "batch_size": None,
    "max_new_tokens": 24,
}
SIZES = [(480, 360), (360, 480), (420, 420), (270, 150), (480, 360)]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    tree = tmp_path_factory.mktemp("tree")
    turns = []
    for number, (width, height) in enumerate(SIZES):
        picture = Image.new("RGB", (width, height), "white")
        corner = (30 + 20 * number, 40)
        ImageDraw.Draw(picture).rectangle((*corner, 200, 130), fill="red")
        picture.save(tree / f"{number}.png")
        item = {"bbox_2d": [*corner, 200, 130], "label": "1 red 2x4 brick"}
        turns.append(
            {
                "instance_id": f"object/{number}",
                "image": f"{number}.png",
                "width": width,
                "height": height,
                "prompt": prompts.query("object", "Which parts are needed for this step?"),
                "response": json.dumps([item]),
            }
        )
    shown = [[], [turns[0]], [], [turns[1], turns[0]], [turns[2]]]
    facts = {"schema_version": 1, "task": "object", "manual": "m", "variant": "plain"}
    facts |= {"box_frame": "processed"}
    return tree, [facts | t | {"demonstrations": d} for t, d in zip(turns, shown, strict=True)]


@pytest.fixture(scope="module")
def predictor(rows):
    return Predictor(RECIPE, rows[0], TINY_BASE, None)


def by_id(predictions):
    return {one["instance_id"]: one for one in predictions}


def test_a_batch_answers_as_single_prompts_do(predictor, rows):
    batched = by_id(predictor.answers(rows[1]))
    assert len(batched) == len(SIZES)
    for row in rows[1]:
        assert by_id(predictor.answers([row])) == {row["instance_id"]: batched[row["instance_id"]]}


def test_boxes_of_a_prediction_are_in_original_pixels(predictor, rows):
    for row in rows[1]:
        (one,) = predictor.answers([row])
        size = (row["width"], row["height"])
        processed = predictor.budget.processed_size(size)
        assert "bbox_2d" in one["completion"]
        assert one["prediction"] == rescale_text(one["completion"], processed, size)
        assert one["prediction"] != one["completion"]
        assert one["reference"] == row["response"]
        assert (one["processed_width"], one["processed_height"]) == processed
        check_schema("prediction", one)


def test_a_prediction_follows_the_frame_of_its_row(predictor, rows):
    row = rows[1][0]
    size = (row["width"], row["height"])
    for frame in FRAMES:
        (one,) = predictor.answers([row | {"box_frame": frame}])
        assert (one["box_frame"], one["variant"]) == (frame, "plain")
        assert one["prediction"] == to_original(one["completion"], size, predictor.budget, frame)
        assert one["reference"] == row["response"]


def test_a_killed_shard_goes_on_where_it_stopped(predictor, rows, tmp_path, monkeypatch):
    tree, conversations = rows
    write_jsonl(tmp_path / "test.jsonl", conversations)
    describe_model(TINY_BASE, "tiny", None, tmp_path / "model.json")
    out = tmp_path / "shards" / "0.jsonl"

    def run():
        predict(RECIPE, tmp_path / "test.jsonl", tree, tmp_path / "model.json", None, (0, 2), out)

    run()
    whole = out.read_bytes()
    assert len(whole.splitlines()) == 3  # conversations 0, 2 and 4
    lines = whole.splitlines(keepends=True)
    inputs = [tmp_path / "test.jsonl", tmp_path / "model.json"]
    name = fingerprint(RECIPE, inputs)
    (out.parent / f"0.{name}.partial.jsonl").write_bytes(lines[0] + lines[1][:40])
    (out.parent / "0.another.partial.jsonl").write_bytes(b"of another recipe")
    out.unlink()
    answered = []
    plain = Predictor.answers

    def counted(self, rows):
        for one in plain(self, rows):
            answered.append(one["instance_id"])
            yield one

    monkeypatch.setattr(Predictor, "answers", counted)
    run()
    assert out.read_bytes() == whole
    assert len(answered) == 2
    assert [path.name for path in out.parent.iterdir()] == ["0.jsonl"]


def test_gather_orders_the_shards_and_refuses_a_double(tmp_path):
    write_jsonl(tmp_path / "0.jsonl", [{"instance_id": "c", "prediction": ""}])
    write_jsonl(
        tmp_path / "1.jsonl", [{"instance_id": name, "prediction": ""} for name in ("b", "a")]
    )
    assert gather([tmp_path / "0.jsonl", tmp_path / "1.jsonl"], tmp_path / "all.jsonl") == 3
    assert [row["instance_id"] for row in read_jsonl(tmp_path / "all.jsonl")] == ["a", "b", "c"]
    with pytest.raises(UserError, match="answered twice"):
        gather([tmp_path / "0.jsonl", tmp_path / "0.jsonl"], tmp_path / "all.jsonl")


def test_sampled_answers_depend_on_seed_and_instance_not_on_the_batch(predictor, rows):
    def answers(**drawn):
        predictor.engine.recipe = RECIPE | drawn
        found = predictor.answers(rows[1])
        return {row["instance_id"]: row["completion"] for row in found}

    sampling = {"temperature": 1.5, "top_p": 0.9, "top_k": 50}
    try:
        greedy = answers()
        first = answers(sampling=sampling, seed=1)
        alone = answers(sampling=sampling, seed=1, batch_tokens=1)
        second = answers(sampling=sampling, seed=2)
    finally:
        predictor.engine.recipe = RECIPE
    assert first == alone
    assert first != second
    assert first != greedy
