import pytest

from legor1.core import progress
from legor1.core.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds[0])
    return seconds


def test_a_log_gets_a_line_when_it_is_due_and_one_at_the_end(clock, capsys):
    work = Progress(total=3, desc="sft", unit="steps", mininterval=0)
    work.set_postfix(loss=0.5, refresh=False)
    work.update()
    assert capsys.readouterr().err == ""
    clock[0] = progress.SECONDS_BETWEEN_LINES
    work.update()
    assert capsys.readouterr().err.startswith("sft: 2/3 steps, loss=0.5, 00:00 elapsed, ")
    work.update()
    assert capsys.readouterr().err == ""
    work.close()
    work.close()
    assert capsys.readouterr().err.startswith("sft: 3/3 steps, loss=0.5, ")


def test_work_that_was_cut_off_is_not_called_done(clock, capsys):
    with Progress(total=3, desc="sft", mininterval=0) as work:
        work.update()
    assert capsys.readouterr().err == ""


def test_it_speaks_where_libraries_are_silenced(clock, capsys, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert list(Progress(range(2), "drawn", unit="manuals")) == [0, 1]
    assert capsys.readouterr().err.startswith("drawn: 2/2 manuals")
