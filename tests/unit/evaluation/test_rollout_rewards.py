"""``legor1 reward``: files of rollouts, and the same rewards as the trainer calls them."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from legor1.cli import main
from legor1.core.errors import UserError
from legor1.core.files import read_json, read_jsonl, write_jsonl
from legor1.evaluation.rollout_rewards import write_rewards
from legor1.evaluation.suites import SUITES

ROOT = Path(__file__).parents[3]
FIXTURE = ROOT / "tests/fixtures/thesis_scores/rewards.jsonl"
NAMES = ("format", "object", "state", "grounding")
BOX = '[{"bbox_2d": [1, 2, 3, 4], "label": "a"}]'


@pytest.fixture
def rewards(tmp_path):
    """Return a function from rows to the rows that the command makes of them."""

    def run(rows, name="sound"):
        write_jsonl(tmp_path / "in.jsonl", rows)
        write_rewards(tmp_path / "in.jsonl", tmp_path / "out.jsonl", name)
        return read_jsonl(tmp_path / "out.jsonl")

    return run


def numbers(row):
    return [row[name] for name in NAMES]


def test_the_command_gives_the_published_values(tmp_path, capsys):
    out = tmp_path / "rewards.jsonl"
    status = main.main(["reward", str(FIXTURE), "--suite", "thesis", "--out", str(out)])
    assert status == 0
    assert capsys.readouterr().out.startswith("reward thesis: completions 360, format 0.")
    validator = Draft202012Validator(read_json(ROOT / "workflow/schemas/rewards.schema.json"))
    for true, found in zip(read_jsonl(FIXTURE), read_jsonl(out), strict=True):
        assert numbers(found) == pytest.approx(numbers(true), abs=1e-9)
        assert list(found) == list(true)
        validator.validate(found)


def test_fields_and_order_are_kept(rewards):
    rows = [
        {"id": n, "solution": "Yes.", "more": {"é": [1.5, None]}, "completion": "Yes."}
        for n in range(3)
    ]
    assert rewards(rows) == [
        row | {"format": 1, "object": None, "state": 1, "grounding": None} for row in rows
    ]


def test_sound_infers_a_missing_task_line_by_line(rewards):
    rows = [
        {"completion": "x", "solution": solution, "task": None}
        for solution in (
            BOX,
            f"<answer>{BOX}</answer>",
            "[]",
            "No.",
            "<answer>yes</answer>",
            "No way",
        )
    ]
    own = [next(n for n in NAMES[1:] if row[n] is not None) for row in rewards(rows)]
    assert own == ["object", "object", "object", "state", "state", "grounding"]


def test_sound_takes_the_task_that_is_given_and_thesis_does_not(rewards):
    row = {"completion": "press", "solution": "<answer>Yes.</answer>", "task": "grounding"}
    assert rewards([row])[0]["state"] is None
    row["completion"] = "yes"
    assert rewards([row], "thesis")[0]["state"] == 1


def test_thesis_gives_0_where_sound_gives_null(rewards):
    row = {"completion": "Yes.", "solution": "<answer>Yes.</answer>"}
    assert numbers(rewards([row])[0]) == [1, None, 1, None]
    assert numbers(rewards([row], "thesis")[0]) == [0, 0, 1, 0]


def test_a_suite_of_the_first_iteration_has_object_alone(rewards):
    row = {"completion": "<p>a</p> {<1><2><3><4>}", "solution": "<p>a</p> {<1><2><3><4>}"}
    assert rewards([row], "figure1_configuration2") == [row | {"object": 1}]


def test_half_of_a_surrogate_pair_passes(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"completion": "\\ud800 é", "solution": "Yes."}\n')
    means = write_rewards(tmp_path / "in.jsonl", tmp_path / "out.jsonl", "sound")
    assert means == {"completions": 1, "format": 0, "state": 0}
    assert read_jsonl(tmp_path / "out.jsonl")[0]["completion"] == "\ud800 é"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not JSON"),
        ('"text"', "expected an object with completion, solution"),
        ('{"completion": "a"}', "missing solution"),
        ('{"completion": 3, "solution": "a"}', "completion or solution is not text"),
        ('{"completion": "a", "solution": "a", "task": "stat"}', "the task 'stat' is none of"),
        ('{"completion": "a", "solution": "a", "task": ["x"]}', "is none of"),
        ('{"completion": "a", "solution": "a", "task": "object"}', "not the solution of an object"),
        ('{"completion": "a", "solution": "a", "task": "state"}', "not the solution of a state"),
        ('{"completion": "a", "solution": "a", "x": 1e999}', "Out of range float values"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_malformed_line_is_named_and_nothing_is_written(tmp_path, line, problem):
    good = '{"completion": "a", "solution": "a"}\n'
    (tmp_path / "in.jsonl").write_text(f"{good}\n{line}\n{good}")
    with pytest.raises(UserError) as error:
        write_rewards(tmp_path / "in.jsonl", tmp_path / "out.jsonl", "sound")
    assert f"{tmp_path / 'in.jsonl'}, line 3: " in str(error.value)
    assert problem in str(error.value)
    assert "Remedy: " in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_lines_are_read_one_at_a_time(tmp_path, monkeypatch):
    write_jsonl(tmp_path / "in.jsonl", [{"completion": "a", "solution": "a"}] * 9)
    read, kept = [], json.loads
    monkeypatch.setattr(json, "loads", lambda text: read.append(text) or kept(text))
    from legor1.core.files import stream_jsonl

    next(stream_jsonl(tmp_path / "in.jsonl"))
    assert len(read) == 1


def test_the_trainer_gets_the_same_rewards():
    grpo = pytest.importorskip("legor1.training.grpo")
    rows = read_jsonl(FIXTURE)
    columns = {
        "completions": [[{"role": "assistant", "content": row["completion"]}] for row in rows],
        "solution": [row["solution"] for row in rows],
        "task": [row["task"] for row in rows],
        "prompts": None,
    }
    sound = grpo.batched("object", SUITES["sound"])(**columns)
    assert sound.count(None) == sum(row["task"] != "object" for row in rows)
    thesis = grpo.batched("object", SUITES["thesis"])(**columns)
    assert thesis == pytest.approx([row["object"] for row in rows], abs=1e-9)
    # batch_task: the first of the batch decides for all
    assert rows[0]["task"] == "object"
    assert set(grpo.batched("state", SUITES["thesis"])(**columns)) == {0}
    assert sum(row["state"] for row in rows) > 0
    assert grpo.batched("state", SUITES["thesis"]).__name__ == "state"
