import contextlib
import copy
import errno
import importlib
import inspect
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from unittest.mock import MagicMock as Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from legor1.cli import main, parameters
from legor1.cli.command import INTERRUPTED
from legor1.config import job_params
from legor1.config.settings import load, read
from legor1.core.errors import UserError
from legor1.data import sources

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def recipes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("recipe", "sft", "predict"):
        (tmp_path / f"{name}.json").write_text('{"seed": 1}')


@pytest.mark.parametrize("name", main.app.commands)
def test_every_command_has_help_with_an_example_that_is_understood(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    command = main.app.commands[name]
    start, called, *arguments = shlex.split(command.epilog.removeprefix("Example: "))
    assert (start, called) == ("legor1", name)
    monkeypatch.setattr(parameters, "read_recipe", lambda job, value: {"text": value})
    given = command.make_context(name, arguments).params
    inspect.signature(function(command)).bind(**given)
    assert main.main([name, "--help"]) == 0
    assert command.epilog in capsys.readouterr().out


def function(command):
    """Return a command's function, or what it passes all that it is given on to."""
    function = command.callback.__wrapped__
    text = inspect.getsource(function)
    passed_on = re.findall(r"from (legor1.*) import (\w+)\n\n    (?:return )?\2\(\*\*given\)", text)
    for module, name in passed_on:
        return getattr(importlib.import_module(module), name)
    return function


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

    monkeypatch.setattr(sources, "write_manifest", fail)
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

    monkeypatch.setattr(sources, "write_manifest", fail)
    with pytest.raises(OSError, match="input/output error"):
        main.main(["manifest", "tree", "--out", "m.json"])


def test_ctrl_c_ends_without_a_traceback(monkeypatch, capsys):
    def interrupt(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sources, "write_manifest", interrupt)
    assert main.main(["manifest", "tree", "--out", "m.json"]) == INTERRUPTED
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
        (["gather"], "Missing argument 'SHARD...'"),
        (["predict", "--shard", "2/2"], "'2/2' is not I/N with 0 <= I < N"),
        (["predict", "--shard", "x"], "'x' is not I/N"),
        (["compare", "a=", "b=scores", "--out", "c"], "'a=' is not EXPERIMENT="),
        (
            ["score", "p.jsonl", "--protocol", "other", "--out", "s"],
            "'other' is not one of 'sound', 'thesis'",
        ),
        (["table", "scores.json", "--out", "t"], "'scores.json' is not EXPERIMENT=scores.json"),
        (["convert", "--switch", "self_demo"], "'self_demo' is not NAME=on or NAME=off"),
        (["train", "--recipe", "{"], "neither JSON text nor a JSON file"),
        (["train", "--recipe", "none.json"], "neither JSON text nor a JSON file"),
        (["watch", "run", "--every", "0"], "'0' is not a number of seconds above 0"),
        (["watch", "run", "--every", "nan"], "'nan' is not a number of seconds above 0"),
        (["watch", "run", "--every", "often"], "'often' is not a number of seconds above 0"),
        (["score", "p.jsonl", "--replicates", "0"], "0 is not in the range x>=1"),
        (["score", "p.jsonl", "--confidence", "95"], "95.0 is not in the range 0<x<1"),
        (["score", "p.jsonl", "--confidence", "0"], "0.0 is not in the range 0<x<1"),
        (["wacth"], "No such command 'wacth'. Did you mean 'watch'?"),
        (["score", "--protcol", "x"], "No such option '--protcol'. Did you mean '--protocol'?"),
    ],
)
def test_arguments_that_make_no_sense(arguments, said, capsys):
    assert main.main(arguments) == 2
    message = capsys.readouterr().err
    assert said in message and "Remedy: " in message


def test_without_a_command_there_is_help(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert main.main([]) == 2
    shown = capsys.readouterr().out
    panels = [re.sub(r"\W", "", line) for line in shown.splitlines() if line.startswith("╭")]
    assert panels == ["Study", "Data", "Model", "Results", "Options"]
    for name, command in main.app.commands.items():
        assert re.search(rf"^│ {name} +{re.escape(command.help.rstrip('.'))}", shown, re.M)


def test_the_version_is_the_packages(capsys):
    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out == f"legor1 {metadata.version('legor1')}\n"


@pytest.mark.parametrize(
    ("words", "offered"),
    [("legor1 sp", "split"), ("legor1 split --test", "--test-fraction")],
)
def test_the_shell_is_told_what_may_follow(words, offered, monkeypatch, capsys):
    monkeypatch.setenv("_LEGOR1_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    with pytest.raises(SystemExit) as ended:
        main.main([])
    assert ended.value.code == 0
    assert capsys.readouterr().out.split() == [f"plain,{offered}"]


@pytest.mark.parametrize("no_color", [True, False])
def test_an_error_has_colour_on_a_terminal_that_wants_it(no_color, tmp_path):
    command = shlex.join([sys.executable, "-m", "legor1.cli.main", "wacth"])
    colour = {"NO_COLOR": "1"} if no_color else {"TERM": "xterm-256color"}
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    run = {"env": kept | colour, "capture_output": True, "text": True, "check": False}
    shown = subprocess.run(["script", "-qec", command, "/dev/null"], **run).stdout
    assert ("31m" in shown) is not no_color
    assert "No such command 'wacth'. Did you mean 'watch'?" in shown
    plain = subprocess.run(shlex.split(command), **run).stderr
    assert "\x1b" not in plain and plain.count("\n") == 1


def test_the_reference_in_the_docs_is_up_to_date(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    commands = importlib.import_module("commands")
    assert commands.PAGE.read_text() == commands.page(), "Remedy: python docs/commands.py"
    assert set(re.findall(r"^### (.*)$", commands.page(), re.M)) == set(main.app.commands)


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


CONFIG = load(ROOT / "config.yaml", read(ROOT / "workflow/configs/demo.yaml"))
RECIPES = {"train": "training", "predict": "prediction", "build-base": None}
GARBAGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def good(command):
    """Return a recipe that the command takes."""
    if part := RECIPES[command]:
        return copy.deepcopy(getattr(job_params, f"{part}_job")(CONFIG, "sft").as_mapping())
    return copy.deepcopy(CONFIG["base"]["rebuild"])


@st.composite
def hostile(draw, command):
    """Return a recipe with a key less, one too many, or a value that it cannot have."""
    recipe = good(command)
    inner = [value for name, value in recipe.items() if isinstance(value, dict) and name != "model"]
    blocks = [recipe, *inner]
    block = draw(st.sampled_from([block for block in blocks if block]))
    key = draw(st.sampled_from(sorted(block)))
    kind = draw(st.sampled_from(["missing", "unknown", "wrong", "instead"]))
    if kind == "missing":
        recipe.pop(draw(st.sampled_from(sorted(set(recipe) - {"max_tokens", "sampling"}))))
    elif kind == "unknown":
        block["x" + draw(st.text(max_size=8))] = draw(GARBAGE)
    elif kind == "wrong":
        block[key] = {"": draw(GARBAGE)}
    else:
        return draw(GARBAGE.filter(lambda value: value != recipe))
    return recipe


@pytest.mark.parametrize("command", RECIPES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_recipe_ends_in_a_traceback(command, data):
    words = shlex.split(main.app.commands[command].epilog)[2:]
    recipe = json.dumps(data.draw(hostile(command)))
    place = words.index("--recipe") + 1
    with tempfile.TemporaryDirectory() as folder:
        words[place] = f"{folder}/hostile.json"
        Path(words[place]).write_text(recipe)
        told = io.StringIO()
        with contextlib.redirect_stderr(told):
            assert main.main(words) == 2
    assert told.getvalue().startswith(f"legor1 {command}: Invalid value for '--recipe': ")
    assert "Remedy: " in told.getvalue() and "Traceback" not in told.getvalue()


@pytest.mark.parametrize("text", ['{"x": 1}', '{"a":' * 100_000, '{"a":' * 900 + "1" + "}" * 900])
@pytest.mark.parametrize("command", RECIPES)
def test_a_recipe_as_text_may_be_bad_too(command, text, capsys):
    words = shlex.split(main.app.commands[command].epilog)[2:]
    words[words.index("--recipe") + 1] = text
    assert main.main(words) == 2
    assert "Remedy: " in capsys.readouterr().err


@pytest.mark.parametrize("sizes", [{"text": {}, "vision": {}}, {"text": {"hidden_size": "x"}}])
def test_sizes_that_no_model_has_are_a_users_error(sizes, monkeypatch):
    from legor1.training.base import untrained

    monkeypatch.setattr(untrained, "_words", lambda _: set())
    monkeypatch.setattr(untrained, "make_tokenizer", lambda *_: Mock())
    monkeypatch.setattr(untrained, "make_processor", Mock())
    recipe = good("build-base") | {"model": sizes}
    with pytest.raises(UserError, match=r"sizes of the recipe's model: .* Remedy: correct `text`"):
        untrained.make_untrained(recipe)
