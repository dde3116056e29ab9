import json
import zipfile
from pathlib import Path

import pytest
from crates import validate

from legor1.cli import main
from legor1.core import records
from legor1.core.files import read_json, write_json

WRITES = {"out": records.Role("output")}
RUN = Path("results/small")
CONFIG = {
    "run": "small",
    "report": {"title": "A small study"},
    "experiments": {"sft": {}},
    "base": {"source": "shipped"},
    "dataset": {"source": "synthetic"},
}


def make(stage: str, out: str, *read: str, text: str = "made") -> None:
    """Run a stage that writes a file of the run, from others of it."""
    options = {"out": RUN / out, "read": [RUN / name for name in read], "seed": 7}
    with records.keeping(stage, options, WRITES | {"read": records.Role("input", ())}):
        options["out"].parent.mkdir(parents=True, exist_ok=True)
        options["out"].write_text(text)


@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch):
    """A finished run of five stages, with images and a checkpoint that belong in no crate."""
    monkeypatch.chdir(tmp_path)
    for undeclared in ("data/tree/images/1.png", "work/checkpoint-1/state.pt"):
        (RUN / undeclared).parent.mkdir(parents=True)
        (RUN / undeclared).touch()
    make("manifest", "data/manifest.json")
    make("predict", "predictions/sft.jsonl", "data/tree")
    make("score", "scores/sft/scores.json", "predictions/sft.jsonl")
    make("config", "config.json", text=json.dumps(CONFIG))
    make("report", "report.html", "scores/sft/scores.json", "config.json")


def crate(*arguments: str, out: str = "crate") -> int:
    return main.main(["crate", str(RUN), "--out", out, *arguments])


def entities(folder: str = "crate") -> dict[str, dict]:
    graph = json.loads(Path(folder, "ro-crate-metadata.json").read_text())["@graph"]
    return {one["@id"]: one for one in graph}


def test_a_crate_is_valid_for_the_public_validator(tmp_path):
    assert crate() == 0
    done = validate(tmp_path / "crate", tmp_path / "http")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_validator_refuses_a_crate_without_a_licence(tmp_path):
    assert crate() == 0
    metadata = tmp_path / "crate/ro-crate-metadata.json"
    content = json.loads(metadata.read_text())
    (root,) = [one for one in content["@graph"] if one["@id"] == "./"]
    del root["license"]
    metadata.write_text(json.dumps(content))
    done = validate(tmp_path / "crate", tmp_path / "http")
    assert done.returncode == 1
    assert "license" in done.stdout


def test_every_record_becomes_an_action_with_what_it_took_and_made():
    assert crate() == 0
    found = entities()
    score = found["#scores/sft/scores.json"]
    assert score["object"] == {"@id": "results/small/predictions/sft.jsonl"}
    assert score["result"] == {"@id": "results/small/scores/sft/scores.json"}
    assert found[score["instrument"]["@id"]]["name"] == "legor1 score"
    assert found["#run"]["instrument"] == {"@id": "Snakefile"}
    assert found["#run"]["result"] == {"@id": "results/small/report.html"}
    assert {"@id": "workflow/Snakefile"} in found["Snakefile"]["hasPart"]
    assert found["./"]["datePublished"] == found["#run"]["endTime"]
    assert len([one for one in found.values() if one["@type"] == "CreateAction"]) == 6


def test_the_manifest_stands_for_the_images(tmp_path):
    assert crate() == 0
    assert entities()["#predictions/sft.jsonl"]["object"] == {
        "@id": "results/small/data/manifest.json"
    }
    names = {path.name for path in (tmp_path / "crate").rglob("*")}
    assert not {"1.png", "state.pt"} & names
    assert {"report.html", "sft.jsonl", "Snakefile", "README.md"} <= names


def test_a_zip_file_holds_the_same(tmp_path):
    assert crate() == 0
    assert crate(out="crate.zip") == 0
    with zipfile.ZipFile("crate.zip") as archive:
        inside = {name for name in archive.namelist() if not name.endswith("/")}
    folder = tmp_path / "crate"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert inside == files


def test_a_crate_is_made_again_but_no_other_folder_is_replaced(capsys):
    assert crate() == 0
    assert crate() == 0
    assert crate(out="results") == 2
    assert "results is a folder, but no RO-Crate" in capsys.readouterr().err
    assert RUN.is_dir()


def test_a_result_that_was_changed_by_hand_is_an_error(capsys):
    (RUN / "predictions/sft.jsonl").write_text("better")
    assert crate() == 2
    said = capsys.readouterr().err
    assert f"{RUN}/predictions/sft.jsonl is not what" in said
    assert "Remedy: " in said


def test_an_unfinished_run_is_an_error(capsys):
    records.path_of(RUN / "report.html").unlink()
    assert crate() == 2
    assert "finish the run" in capsys.readouterr().err


def test_what_was_made_of_the_real_dataset_needs_a_licence(capsys):
    config = CONFIG | {"dataset": {"source": "huggingface"}}
    make("config", "config.json", text=json.dumps(config))
    assert crate() == 2
    assert "--licence URL" in capsys.readouterr().err
    assert crate("--licence", "https://example.org/terms") == 0
    assert entities()["./"]["license"] == {"@id": "https://example.org/terms"}


def test_the_crate_of_a_tampered_record_is_refused(capsys):
    path = records.path_of(RUN / "scores/sft/scores.json")
    record = read_json(path)
    record["outputs"][0]["sha256"] = "0" * 64
    write_json(path, record)
    assert crate() == 2
    assert "scores.json is not what" in capsys.readouterr().err
