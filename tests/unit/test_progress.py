import re

import pytest

from legor1 import progress
from legor1.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds[0])
    return seconds


def test_it_is_silent_between_lines_and_speaks_at_the_end(clock, capsys):
    work = Progress("sft", "step", 100)
    clock[0] = 9
    work.at(9)
    assert capsys.readouterr().err == ""
    clock[0] = 10
    work.at(10, "loss 0.500")
    assert capsys.readouterr().err == "      sft  step 10/100  loss 0.500  1.5 min left\n"
    clock[0] = 11
    work.at(100)
    assert "step 100/100  0.0 min left" in capsys.readouterr().err


def test_resumed_work_is_not_taken_for_fast_work(clock, capsys):
    work = Progress("sft", "step", 100, done=90)
    clock[0] = 60
    work.at(95)
    assert re.search(r"step 95/100 .* 1\.0 min left", capsys.readouterr().err)
