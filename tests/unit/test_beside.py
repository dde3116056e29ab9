import os
import signal

import pytest

from legor1 import beside
from legor1.beside import Beside
from legor1.errors import UserError


@pytest.fixture(params=[1, 2], autouse=True)
def cores(request, monkeypatch):
    monkeypatch.setattr(beside, "_cores", lambda: request.param)
    return request.param


def test_it_is_another_process_where_there_is_a_core(cores):
    seen = [1, 2, 3]
    work = Beside(lambda: (os.getpid(), seen))
    process, value = work.result()
    assert value == seen
    assert (process != os.getpid()) is (cores > 1)


def test_what_it_raises_is_raised_where_its_result_is_wanted():
    def fail():
        raise UserError("no. Remedy: yes.")

    work = Beside(fail)
    with pytest.raises(UserError, match="Remedy: yes"):
        work.result()


def test_a_process_that_was_killed_is_not_taken_for_a_result(cores):
    if cores > 1:
        work = Beside(lambda: os.kill(os.getpid(), signal.SIGKILL))
        with pytest.raises(RuntimeError, match="died"):
            work.result()
