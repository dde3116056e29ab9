import os
import signal
from concurrent.futures.process import BrokenProcessPool

import pytest

from legor1.beside import beside
from legor1.errors import UserError


def test_it_is_another_process_that_sees_what_this_one_has():
    seen = [1, 2, 3]
    process, value = beside(lambda: (os.getpid(), seen)).result()
    assert value == seen
    assert process != os.getpid()


def test_what_it_raises_is_raised_where_its_result_is_wanted():
    def fail():
        raise UserError("no. Remedy: yes.")

    work = beside(fail)
    with pytest.raises(UserError, match="Remedy: yes"):
        work.result()


def test_a_process_that_was_killed_is_not_taken_for_a_result():
    work = beside(lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(BrokenProcessPool):
        work.result()
