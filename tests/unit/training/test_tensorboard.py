"""Event files of a training, read back as TensorBoard reads them."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import TrainerControl, TrainerState

from legor1.training.callbacks import Curves


def read(folder):
    """Return the points of each curve of a training: (step, value)."""
    events = EventAccumulator(str(folder)).Reload()
    names = [name.removeprefix("train/") for name in events.Tags()["scalars"]]
    return {
        name: [(e.step, pytest.approx(e.value)) for e in events.Scalars(f"train/{name}")]
        for name in names
        if name != "step"
    }


def train(curves, logs, history=(), *, first=True, ends=True):
    """Call ``curves`` as a training does that logs ``logs``, one a step, after ``history``."""
    state = TrainerState(log_history=[*history], is_world_process_zero=first)
    state.global_step = max((log["step"] for log in history), default=0)
    curves.on_train_begin(None, state, TrainerControl())
    for log in logs:
        state.global_step += 1
        curves.on_log(None, state, TrainerControl(), logs=log)
    if ends:
        curves.on_train_end(None, state, TrainerControl())


def test_numbers_become_curves_and_words_do_not(tmp_path):
    train(Curves(tmp_path / "curves"), [{"loss": 2.5, "kl": 1, "note": "x"}, {"loss": 1.5}])
    assert read(tmp_path / "curves") == {"loss": [(1, 2.5), (2, 1.5)], "kl": [(1, 1.0)]}


def test_a_line_can_be_seen_while_the_training_runs(tmp_path):
    train(Curves(tmp_path), [{"loss": 2.5}], ends=False)
    assert read(tmp_path) == {"loss": [(1, 2.5)]}


def test_a_resumed_training_has_one_curve(tmp_path):
    train(Curves(tmp_path), [{"loss": value} for value in (4.0, 3.0, 9.0)], ends=False)
    kept = [{"loss": 4.0, "step": 1}, {"loss": 3.0, "step": 2}, {"resumed": 1, "step": 2}]
    train(Curves(tmp_path), [{"loss": 2.0}], kept)
    assert read(tmp_path) == {"loss": [(1, 4.0), (2, 3.0), (3, 2.0)], "resumed": [(2, 1.0)]}


def test_only_the_first_process_writes(tmp_path):
    train(Curves(tmp_path / "curves"), [{"loss": 2.5}], first=False)
    assert not (tmp_path / "curves").exists()
