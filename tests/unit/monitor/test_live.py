"""What a training notes while it runs, and that it is a training's history to the last number."""

import json
import subprocess
import sys

import pytest
import trainings
from transformers import TrainerControl, TrainerState
from watching import wait_for

from legor1.core.files import read_json
from legor1.monitor import run_files as reading
from legor1.training import callbacks as status
from legor1.training.work_folder import HISTORY, PROGRESS

CONTROL = TrainerControl()


@pytest.fixture(autouse=True)
def at_each_step(monkeypatch):
    monkeypatch.setattr(status, "SECONDS_BETWEEN_NOTES", 0)


def train(folder, logs, history=(), *, first=True, steps=9) -> status.Live:
    """Call it as a training does that logs ``logs``, one a step, after ``history``."""
    state = TrainerState(log_history=[*history], is_world_process_zero=first, max_steps=steps)
    state.global_step = max((log["step"] for log in history), default=0)
    shown = status.Live("sft", folder)
    shown.on_train_begin(None, state, CONTROL)
    for log in logs:
        state.global_step += 1
        shown.on_step_end(None, state, CONTROL)
        state.log_history.append(log | {"step": state.global_step})
        shown.on_log(None, state, CONTROL)
    return shown


def test_the_history_so_far_has_the_numbers_of_each_row(tmp_path):
    train(tmp_path, [{"loss": 2.5, "note": "x"}, {"loss": "1.5", "kl": float("nan")}])
    rows = reading.rows(tmp_path / HISTORY)
    assert rows == [{"loss": 2.5, "step": 1.0}, {"loss": 1.5, "step": 2.0}]


def test_a_training_that_goes_on_begins_with_what_the_checkpoint_remembers(tmp_path):
    train(tmp_path, [{"loss": value} for value in (4.0, 3.0, 9.0)])
    kept = [{"loss": 4.0, "step": 1}, {"loss": 3.0, "step": 2}, {"resumed": 1, "step": 2}]
    train(tmp_path, [{"loss": 2.0}], kept)
    rows = reading.rows(tmp_path / HISTORY)
    assert [row.get("loss") for row in rows] == [4.0, 3.0, None, 2.0]
    note = read_json(tmp_path / PROGRESS)
    assert (note["step"], note["steps"]) == (3, 9)


def test_the_note_is_renewed_every_few_seconds_and_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(status, "SECONDS_BETWEEN_NOTES", 1000)
    train(tmp_path, [{}] * 3)
    assert read_json(tmp_path / PROGRESS)["step"] == 0
    train(tmp_path, [{}] * 3, steps=3)
    assert read_json(tmp_path / PROGRESS)["step"] == 3


def test_only_the_first_process_writes(tmp_path):
    train(tmp_path, [{"loss": 2.5}], first=False)
    assert [*tmp_path.iterdir()] == []


def test_a_full_disk_ends_no_training(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(status, "write_json", refuse)
    monkeypatch.setattr(status, "write_jsonl", refuse)
    monkeypatch.setattr("pathlib.Path.open", refuse)
    train(tmp_path, [{"loss": 2.5}])
    train(tmp_path / "that/is/not/there", [{"loss": 2.5}])


def test_nothing_is_left_once_the_adapter_has_it(tmp_path):
    train(tmp_path, [{"loss": 2.5}]).end()
    assert [*tmp_path.iterdir()] == []
    status.Live("sft", tmp_path).end()  # of a disk that was full


@pytest.mark.parametrize("method", ["sft", pytest.param("grpo", marks=pytest.mark.slow)])
def test_a_real_training_can_be_watched_until_the_adapter_has_its_history(tmp_path, method):
    data = trainings.write_data(tmp_path)
    steps = 100 if method == "sft" else 20  # long enough to be seen, also by a starved watcher
    recipe = trainings.recipe(
        method, training={"steps": steps, "logging_steps": 1, "save_steps": 50}
    )
    command = [sys.executable, "-m", "legor1.cli.main", "train", "--recipe", json.dumps(recipe)]
    paths = data | {"work": tmp_path / "work", "out": tmp_path / f"adapters/{method}"}
    command += [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    seen = []

    def look() -> bool:
        for folder in reading.trainings(tmp_path).values():
            rows, note = reading.rows(folder / HISTORY), reading.step(folder)
            if note and rows:
                seen.append((note["step"], note["steps"], [row.get("loss") for row in rows]))
        return running.poll() is not None

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        wait_for(look, poll=0.1)
        said = running.stdout.read().decode()
        assert running.returncode == 0, said
    going = [one for one in seen if one[0] < steps]
    assert going and {one[1] for one in going} == {steps}
    assert [one[0] for one in going] == sorted(one[0] for one in going)
    ended = reading.rows(tmp_path / f"adapters/{method}" / HISTORY)
    last = going[-1][2]
    assert [row.get("loss") for row in ended][: len(last)] == last
    assert not [*(tmp_path / "work").glob(f"*/{HISTORY}")]
    assert f"{steps}/{steps} steps" in said
