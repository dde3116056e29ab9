"""Rewards of the user's own: found, checked without running them, given what they ask for."""

import json

import pytest
from PIL import Image

from legor1.config.settings import load
from legor1.core.errors import UserError
from legor1.evaluation import suites
from legor1.evaluation.reward_probe import paid
from legor1.evaluation.suites import SUITES

SOUND = SUITES["sound"]


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Return what writes a file of rewards and names a function in it."""
    monkeypatch.chdir(tmp_path)
    count = iter(range(100))

    def write(text, function="own"):
        path = tmp_path / f"mine{next(count)}.py"
        path.write_text(text)
        return f"{path.name}:{function}"

    return write


def refusal(name):
    with pytest.raises(UserError, match="Remedy: ") as caught:
        suites.source(name)
    assert name in str(caught.value)
    return str(caught.value)


def test_a_file_is_read_but_not_run_when_it_is_checked(file, tmp_path):
    name = file("open('ran', 'w')\ndef own(completion): return 1")
    assert suites.sources(["format", name]) == [suites.source(name)]
    assert not (tmp_path / "ran").exists()
    suites.load(name)
    assert (tmp_path / "ran").exists()


def test_a_name_of_the_suite_is_the_suites(file):
    assert suites.reward(SOUND, "object") is SOUND.rewards["object"]
    with pytest.raises(KeyError):
        suites.reward(SOUND, "nothing")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("def own(completion, answer): return 1", "the parameter 'answer' of .*line 1.*completion"),
        ("def own(**more): return 1", "positional or variable parameters"),
        ("def own(*more): return 1", "positional or variable parameters"),
        ("def own(task, /): return 1", "positional or variable parameters"),
        ("def other(task): return 1", "defines no function 'own'.*name one of other"),
        ("def own(task) return 1", "cannot be read"),
    ],
)
def test_a_function_that_cannot_be_used_is_named(file, text, what):
    name = file(text)
    with pytest.raises(UserError, match=what):
        suites.source(name)
    assert refusal(name)


@pytest.mark.parametrize("name", ["missing.py:own", "no_such_module:own", "folder.py:own"])
def test_a_missing_file_is_named(file, tmp_path, name):
    (tmp_path / "folder.py").mkdir()
    assert name.partition(":")[0] in refusal(name)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("1 / 0", r"failed: ZeroDivisionError\('division by zero'\)"),
        ("float('nan')", "returned nan"),
        ("float('inf')", "returned inf"),
        ("'much'", "failed: TypeError"),
    ],
)
def test_what_raises_or_returns_no_number_is_named(file, body, what):
    name = file(f"def own(completion): return {body}")
    with pytest.raises(UserError, match=f"the reward {name} {what}"):
        suites.call(suites.load(name), {"completion": ""})


def test_a_file_that_cannot_be_run_is_named(file):
    name = file("import no_such_module\ndef own(completion): return 1")
    with pytest.raises(UserError, match=f"the reward {name}: .* cannot be run"):
        suites.load(name)


def test_none_leaves_a_sample_out(file):
    name = file("def own(task): return None if task == 'state' else 2")
    reward = suites.load(name)
    values = [suites.call(reward, {"task": task}) for task in ("state", "object")]
    assert values == [None, 2.0]


def test_training_gives_what_is_asked_for(file, tmp_path):
    grpo = pytest.importorskip("legor1.training.grpo")
    Image.new("RGB", (4, 3)).save(tmp_path / "image.png")
    name = file(
        "def own(completion, image, tokens, manual, task):\n"
        "    return len(completion) + 10 * image.width + 100 * sum(tokens) + 1000 * int(manual)\n"
    )
    reward = grpo.batched(name, SOUND)
    assert reward.__name__ == "own"
    row = {"image": str(tmp_path / "image.png"), "manual": "7"}
    columns = {
        "completions": [[{"content": "ab"}], [{"content": "abc"}]],
        "solution": ["Yes.", "Yes."],
        "task": ["state", "state"],
        "size": [(4, 3)] * 2,
        "row": [row, row],
        "completion_ids": [[1], [2]],
    }
    assert reward(**columns) == [7142, 7243]


def test_a_row_that_lacks_what_is_asked_for_is_named(file):
    functions = {"own": suites.load(file("def own(completion, width): return width"))}
    row = {"task": "state", "width": 3, "image": "none.png"}
    assert paid(SOUND, functions, row, "Yes.", "Yes.") == {"own": 3}
    with pytest.raises(ValueError, match="it lacks width, which a reward asks for"):
        paid(SOUND, functions, {"task": "state"}, "Yes.", "Yes.")


def test_the_config_is_checked_with_them(file, request):
    root = request.config.rootpath
    grpo = json.loads(json.dumps(load(root / "config.yaml")["experiments"]["grpo"]))
    known = ("object", file("def own(completion): return 1"))
    grpo["training"]["rewards"] = dict.fromkeys(known, 0.5)
    overlay = {"experiments": {"grpo": grpo}}
    assert load(root / "config.yaml", overlay)["experiments"]["grpo"]["training"]["rewards"]
    for name, what in (
        ("missing.py:own", "experiments.grpo.training.rewards: the reward missing.py:own"),
        (file("def object(task): return 1", "object"), "two rewards are called 'object'"),
        ("objects", "rewards: there is no 'objects' in the suite sound. Did you mean object"),
    ):
        grpo["training"]["rewards"] = dict.fromkeys((*known, name), 0.5)
        with pytest.raises(UserError, match=what):
            load(root / "config.yaml", overlay)
