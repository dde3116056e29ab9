import json
import platform
from pathlib import Path

import jsonschema
import pytest

from legor1.cli import main
from legor1.cli.parameters import Artefact
from legor1.core import code_digest, provenance, records
from legor1.core.files import sha256
from legor1.evaluation import suites

SCHEMA = Path(__file__).parents[3] / "workflow/schemas/record.schema.json"
SHARD = {"instance_id": "a", "prediction": "Yes"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shard.jsonl").write_text(json.dumps(SHARD) + "\n")
    return tmp_path


def run(*arguments: str) -> int:
    return main.main(list(map(str, arguments)))


def record(result: str) -> dict:
    facts = json.loads(records.path_of(Path(result)).read_text())
    jsonschema.validate(facts, json.loads(SCHEMA.read_text()))
    return facts


def test_a_result_has_its_inputs_settings_code_and_cost_beside_it():
    assert run("gather", "shard.jsonl", "--out", "out/whole.jsonl") == 0
    facts = record("out/whole.jsonl")
    assert (facts["stage"], facts["settings"]) == ("gather", {})
    for side, path in (("inputs", "shard.jsonl"), ("outputs", "out/whole.jsonl")):
        size = Path(path).stat().st_size
        assert facts[side] == [{"path": path, "bytes": size, "sha256": sha256(path)}]
    assert facts["host"]["name"] == platform.node()
    assert facts["devices"] == ["cpu"]
    assert facts["versions"] == provenance.collect()["versions"]
    assert facts["wall_seconds"] < 600
    assert 1 < facts["peak_memory_mib"] < 1e6


def test_a_stage_that_fails_leaves_no_record(capsys):
    assert run("gather", "nowhere.jsonl", "--out", "whole.jsonl") == 2
    assert not records.path_of(Path("whole.jsonl")).exists()
    assert "nowhere.jsonl" in capsys.readouterr().err


def test_a_stage_that_fails_leaves_the_record_of_the_result_that_is_still_there(folder):
    assert run("gather", "shard.jsonl", "--out", "whole.jsonl") == 0
    before = record("whole.jsonl")
    (folder / "shard.jsonl").write_text("not JSON\n")
    assert run("gather", "shard.jsonl", "--out", "whole.jsonl") == 2
    assert record("whole.jsonl") == before


def test_a_stage_that_writes_no_file_has_no_record(folder, capsys):
    root = Path(__file__).parents[3]
    assert run("config", "--base-config", root / "config.yaml") == 0
    assert [path.name for path in folder.iterdir()] == ["shard.jsonl"]
    assert '"run"' in capsys.readouterr().out


def test_a_dataset_tree_is_known_by_its_manifest(folder):
    size = ("--manuals", 2, "--steps", 1, "--objects", 1, "--image-size", "64x64")
    assert run("synthesize", "tree", *size, "--seed", 7) == 0
    drawn = record("tree")
    assert drawn["seed"] == 7
    assert drawn["outputs"] == [{"path": "tree", "sha256": None}]
    assert run("manifest", "tree", "--out", "manifest.json") == 0
    assert record("manifest.json")["inputs"] == [{"path": "tree", "sha256": None}]
    assert run("index", "tree", "--out", "i.parquet", "--quarantine", "q.jsonl") == 0
    facts = record("i.parquet")
    assert facts["inputs"] == [{"path": "tree", "sha256": sha256("manifest.json")}]
    assert [one["path"] for one in facts["outputs"]] == ["i.parquet", "q.jsonl"]


def test_a_folder_that_several_stages_write_into_is_recorded_by_file(folder):
    """Beside the baselines' predictions lie those of experiments, which another stage made."""
    row = {"instance_id": "state/1", "task": "state", "manual": "m", "prompt": "?"}
    row |= {"width": 8, "height": 8, "response": "Yes", "image": "a.png"}
    row |= {"box_frame": "original", "variant": "plain", "demonstrations": []}
    (folder / "c.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "predictions").mkdir()
    (folder / "predictions/sft.jsonl").touch()
    assert run("baselines", "--train", "c.jsonl", "--test", "c.jsonl", "--out", "predictions") == 0
    written = {Path(one["path"]).name for one in record("predictions")["outputs"]}
    assert written == {path.name for path in (folder / "predictions").iterdir()} - {"sft.jsonl"}


def test_named_folders_are_read_by_file_and_settings_are_plain(folder):
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "history.jsonl").write_text("{}\n")
        (folder / name / "run.json").write_text("{}")
    roles = {"trainings": records.Role("input", ("history.jsonl",)), "out": records.Role("output")}
    options = {"trainings": [("one", Path("one")), ("two", Path("two"))], "out": Path("f.html")}
    options |= {"switch": [("self_demo", True)], "work": Path("a/b"), "recipe": {"seed": 3}}
    with records.keeping("figure1", options, roles):
        Path("f.html").write_text("drawn")
    facts = record("f.html")
    assert [one["path"] for one in facts["inputs"]] == ["one/history.jsonl", "two/history.jsonl"]
    assert facts["settings"]["switch"] == [["self_demo", True]]
    assert facts["settings"]["work"] == "a/b"
    assert facts["seed"] == 3


def test_gpus_are_named_where_the_recipe_asks_for_them(folder, monkeypatch):
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA A40, 46068 MiB, 550.1'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    options = {"recipe": {"device": "cuda"}, "out": Path("p.jsonl")}
    with records.keeping("predict", options, {"out": records.Role("output")}):
        Path("p.jsonl").touch()
    assert record("p.jsonl")["devices"] == ["NVIDIA A40, 46068 MiB, 550.1"]


def test_every_path_of_the_command_line_has_a_role_or_is_told_apart():
    without = {
        (name, parameter.name)
        for name, command in main.app.commands.items()
        for parameter in command.params
        if isinstance(parameter.type, Artefact) and not parameter.type.role
    }
    whole = {(name, "run") for name in ("crate", "plan", "publish", "restore", "watch")}
    beside = {("crate", "out"), ("fetch", "folder"), ("train", "work"), ("train", "log")}
    beside.add(("build-base", "work"))
    assert without == whole | beside


def test_the_code_of_a_reward_of_the_users_own_counts(folder):
    texts = ("def own(task): return 1", "def own(task): return 1  # noted", "def own(): ...")
    digests = []
    for number, text in enumerate(texts):
        (folder / f"mine{number}.py").write_text(text)
        options = {"own": (f"mine{number}.py:own",), "out": Path("r.json")}
        roles, code = {"out": records.Role("output")}, suites.run_by(options)
        with records.keeping("probe-reward", options, roles, code):
            Path("r.json").touch()
        digests.append(record("r.json")["code_sha256"])
    assert digests[0] == digests[1] != digests[2]


def test_so_does_that_of_a_training(folder):
    (folder / "mine.py").write_text("def own(task): return 1")
    recipe = {"method": "grpo", "training": {"rewards": {"format": 1, "mine.py:own": 1}}}
    options = {"recipe": recipe, "out": Path("adapter.json")}
    with records.keeping("train", options, {"out": records.Role("output")}, suites.run_by(options)):
        Path("adapter.json").touch()
    with_own = code_digest.digest("train grpo", files=[folder / "mine.py"])
    assert record("adapter.json")["code_sha256"] == with_own != code_digest.digest("train grpo")
