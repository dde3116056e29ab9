import errno
import importlib
import inspect
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from legor1.cli import main
from legor1.core.errors import UserError
from legor1.data import manifest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def recipes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("recipe", "sft", "predict"):
        (tmp_path / f"{name}.json").write_text('{"seed": 1}')


@pytest.mark.parametrize("stage", main.STAGES.values(), ids=lambda stage: stage.name)
def test_every_stage_has_help_with_an_example_that_is_understood(stage, capsys):
    given = vars(main._parser().parse_args(shlex.split(stage.example)))
    assert given.pop("stage") == stage.name
    inspect.signature(function(stage)).bind(**given)
    with pytest.raises(SystemExit) as ended:
        main.main([stage.name, "--help"])
    assert ended.value.code == 0
    assert f"legor1 {stage.name} " in capsys.readouterr().out.partition("example:")[2]


def function(stage):
    module, name = stage.function.split(":")
    return getattr(importlib.import_module(f"legor1.{module}"), name)


def test_a_users_error_is_one_message_and_status_2(capsys):
    status = main.main(["index", "nowhere", "--out", "a.parquet", "--quarantine", "q.jsonl"])
    said = capsys.readouterr().err
    assert status == 2
    assert said.startswith("legor1 index: nowhere ")
    assert "Remedy: " in said
    assert "Traceback" not in said


def test_an_error_of_the_program_keeps_its_traceback(monkeypatch):
    def fail(**_):
        raise ZeroDivisionError

    monkeypatch.setattr(manifest, "write_manifest", fail)
    with pytest.raises(ZeroDivisionError):
        main.main(["manifest", "tree", "--out", "m.json"])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_message_and_status_2(number, tmp_path, monkeypatch, capsys):
    def save(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Image.Image, "save", save)
    drawn = ["--manuals", "1", "--steps", "1", "--objects", "1", "--seed", "1"]
    status = main.main(["synthesize", str(tmp_path / "tree"), *drawn])
    said = capsys.readouterr().err.splitlines()[-1]
    assert status == 2
    place = f"legor1 synthesize: {tmp_path / 'tree'} cannot be written"
    assert said == f"{place}: {os.strerror(number)}. Remedy: free some space."
    assert not list(tmp_path.glob("*tree*"))


def test_another_error_of_the_system_keeps_its_traceback(monkeypatch):
    def fail(**_):
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(manifest, "write_manifest", fail)
    with pytest.raises(OSError, match="input/output error"):
        main.main(["manifest", "tree", "--out", "m.json"])


def test_ctrl_c_ends_without_a_traceback(monkeypatch, capsys):
    def interrupt(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(manifest, "write_manifest", interrupt)
    assert main.main(["manifest", "tree", "--out", "m.json"]) == main.INTERRUPTED
    assert capsys.readouterr().err == "legor1 manifest: interrupted\n"


def test_a_reader_that_goes_away_is_no_error():
    command = [
        sys.executable,
        "-m",
        "legor1.cli.main",
        "config",
        "--base-config",
        ROOT / "config.yaml",
    ]
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        running.stdout.close()
        said = running.stderr.read()
    assert said == b""
    assert running.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gather"], "required: SHARD, --out"),
        (["predict", "--shard", "2/2"], "'2/2' is not I/N with 0 <= I < N"),
        (["predict", "--shard", "x"], "'x' is not I/N"),
        (["compare", "a=", "b=scores", "--out", "c"], "'a=' is not EXPERIMENT="),
        (["score", "p.jsonl", "--protocol", "other", "--out", "s"], "invalid choice: 'other'"),
        (["table", "scores.json", "--out", "t"], "'scores.json' is not EXPERIMENT=scores.json"),
        (["convert", "--switch", "self_demo"], "'self_demo' is not NAME=on or NAME=off"),
        (["train", "--recipe", "{"], "neither JSON text nor a JSON file"),
        (["train", "--recipe", "none.json"], "neither JSON text nor a JSON file"),
        (["watch", "run", "--every", "0"], "'0' is no number of seconds above 0"),
        (["watch", "run", "--every", "nan"], "'nan' is no number of seconds above 0"),
        (["watch", "run", "--every", "often"], "'often' is no number of seconds above 0"),
        ([], "required: STAGE"),
    ],
)
def test_arguments_that_make_no_sense(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main.main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_recipes_come_as_text_or_file():
    text = main._json('{"seed": 1, "pixel_budget": {"min_pixels": 784}}')
    assert text["pixel_budget"]["min_pixels"] == 784
    assert main._json("recipe.json") == {"seed": 1}


def test_config_writes_what_the_overlays_make(tmp_path):
    out = tmp_path / "config.json"
    demo = ROOT / "workflow/configs/demo.yaml"
    arguments = [str(demo), '{"seed": 8}', "--base-config", str(ROOT / "config.yaml")]
    assert main.main(["config", *arguments, "--out", str(out)]) == 0
    config = json.loads(out.read_text())
    assert (config["run"], config["seed"], config["inference"]["shards"]) == ("demo", 8, 1)


def test_check_says_what_is_missing_or_that_nothing_is(monkeypatch, capsys):
    from legor1.planning import preflight

    base = ["--base-config", str(ROOT / "config.yaml")]
    monkeypatch.setattr(preflight, "require", lambda config, results: None)
    assert main.main(["check", *base]) == 0
    assert "run study: nothing is missing here" in capsys.readouterr().out

    def refuse(config, results):
        raise UserError(f"{results} lacks a GPU. Remedy: make demo")

    monkeypatch.setattr(preflight, "require", refuse)
    assert main.main(["check", *base]) == 2
    assert "results/study lacks a GPU" in capsys.readouterr().err


def test_light_stages_do_not_wait_for_torch():
    heavy = ["torch", "transformers", "pandas", "datasets", "snakemake"]
    code = f"import sys, legor1.cli.main; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
