"""A COCO file becomes a report by the page's config, with another program's answers beside it."""

import csv
import json
import re

import pytest
import yaml
from PIL import Image, ImageDraw
from study import ROOT, Study

from legor1.core.files import read_jsonl, write_jsonl

PAGE = (ROOT / "docs/formats.md").read_text()
CONFIG = yaml.safe_load(re.search(r"```yaml pets.yaml\n(.*?)```", PAGE, re.DOTALL)[1])
ANIMALS = {"rex": "dog", "tom": "cat", "bo": "dog", "kit": "cat", "max": "dog", "moo": "cow"}


def draw(folder):
    """Draw four pictures of each animal, with COCO's annotations."""
    names = sorted({*ANIMALS.values()})
    content = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": n, "name": name} for n, name in enumerate(names)]
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    for number in range(4 * len(ANIMALS)):
        animal = [*ANIMALS][number // 4]
        box = [30 + 11 * number, 20 + 7 * number, 60 + 5 * number, 90]
        picture = Image.new("RGB", (480, 360), (10 * number, 200 - 8 * number, 90))
        ImageDraw.Draw(picture).rectangle([*box[:2], box[0] + box[2], box[1] + box[3]], "white")
        file = f"{animal}_{number:02}.jpg"
        picture.save(folder / "images" / file)
        content["images"].append({"id": number, "file_name": file, "width": 480, "height": 360})
        kind = names.index(ANIMALS[animal])
        one = {"id": number, "image_id": number, "category_id": kind, "bbox": box, "iscrowd": 0}
        content["annotations"].append(one)
    (folder / "annotations/all.json").write_text(json.dumps(content))


def write(folder, columns, **more):
    """Write the page's config with these of its experiments, and others."""
    experiments = {name: CONFIG["experiments"][name] for name in columns} | more
    experiments["sft"]["training"]["steps"] = 2
    (folder / "pets.yaml").write_text(yaml.safe_dump(CONFIG | {"experiments": experiments}))


@pytest.mark.slow
def test_the_pages_study_runs_and_judges_answers_from_elsewhere(tmp_path):
    study = Study(tmp_path, with_base=True)
    study.overlay = ["--configfile", "pets.yaml"]
    draw(tmp_path / "pets")
    write(tmp_path, ["few_shot", "sft"])
    done = study.snakemake()
    assert done.returncode == 0, done.stdout
    run = tmp_path / "results/pets"
    tested = read_jsonl(run / "data/sound/plain/test.jsonl")
    assert {row["task"] for row in tested} == {"object"}
    assert len({row["manual"] for row in tested}) * 4 == len(tested)  # whole animals
    assert "Find every animal." in (run / "gallery.html").read_text()

    answers = [{"instance_id": row["instance_id"], "output": row["response"]} for row in tested]
    write_jsonl(tmp_path / "answers.jsonl", answers)
    given = {"method": "external", "predictions": "answers.jsonl", "frame": "original"}
    write(tmp_path, ["few_shot", "sft"], elsewhere=given)
    more = study.plan()
    assert {"import_answers": 1, "score_predictions": 2}.items() <= more.items()
    assert more.keys().isdisjoint({"train_sft", "predict_shard", "convert_dataset"})
    done = study.snakemake()
    assert done.returncode == 0, done.stdout
    with (run / "table.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["experiment"] == "elsewhere"]
    scores = {row["metric"]: float(row["value"]) for row in rows if row["protocol"] == "sound"}
    assert scores["f1_50_labelled"] == 1
    assert "answered elsewhere" in (run / "report.html").read_text()
