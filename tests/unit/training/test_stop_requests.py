import signal
import time
from types import SimpleNamespace

import pytest

from legor1.training import callbacks, work_folder

STATE = SimpleNamespace(global_step=3, max_steps=9)


@pytest.fixture
def stops(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    yield callbacks.Stops(SimpleNamespace(deadline=None, work=tmp_path))
    signal.signal(signal.SIGTERM, before)


def step(stops, state=STATE):
    """End a step; return whether the training is to save and stop, and why."""
    control = SimpleNamespace(should_save=False, should_training_stop=False)
    stops.on_step_end(SimpleNamespace(device="cpu"), state, control)
    assert control.should_save == control.should_training_stop == (stops.reason is not None)
    return stops.reason


def test_without_a_reason_it_goes_on(stops):
    assert step(stops) is None


def test_a_signal_stops_it(stops):
    signal.raise_signal(signal.SIGTERM)
    assert step(stops) == "as it was asked to"


def test_a_request_stops_it(stops, tmp_path):
    (tmp_path / work_folder.REQUEST).touch()
    assert step(stops) == "as it was asked to"


def test_the_longest_step_decides_whether_there_is_time_for_more(stops, monkeypatch):
    now = time.time()
    monkeypatch.setattr(callbacks.time, "time", lambda: now)
    stops.job.deadline = now + callbacks.SECONDS_TO_SAVE + 50
    stops.last = now - 20
    assert step(stops) is None  # two more of 20 seconds are possible
    assert step(stops) is None
    stops.last = now - 30
    assert step(stops) == "before its time was over"


def test_the_last_step_is_the_end_and_no_stop(stops):
    signal.raise_signal(signal.SIGTERM)
    assert step(stops, SimpleNamespace(global_step=9, max_steps=9)) is None
