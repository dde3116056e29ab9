"""Work that a second core does meanwhile, in a fork of this process that sees all it has read."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Generic, TypeVar

T = TypeVar("T")


class Beside(Generic[T]):
    """Starts work at once where there is a core for it, else does it when its result is wanted."""

    def __init__(self, work: Callable[[], T]) -> None:
        """Start ``work``, whose result must be picklable; it may change nothing here."""
        self._work = work
        self._connection: Connection | None = None
        if _cores() > 1 and "fork" in multiprocessing.get_all_start_methods():
            context = multiprocessing.get_context("fork")
            self._connection, there = context.Pipe(duplex=False)
            process = context.Process(target=_send, args=(there, work), daemon=True)
            process.start()
            there.close()

    def result(self) -> T:
        """Wait for the result; what the work raised is raised here.

        Raises:
            RuntimeError: the other process died.
        """
        if self._connection is None:
            return self._work()
        try:
            done, value = self._connection.recv()
        except EOFError as error:
            raise RuntimeError("a process that worked beside this one died") from error
        if done:
            return value
        raise value


def _send(connection: Connection, work: Callable[[], object]) -> None:
    try:
        answer = True, work()
    except Exception as error:  # it is raised where the result is wanted
        answer = False, error
    connection.send(answer)
    connection.close()


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1
