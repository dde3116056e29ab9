"""Work that a second core does meanwhile, in a fork of this process that sees all it has read."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

_work: Callable[[], Any]  # of the fork


def beside(work: Callable[[], T]) -> "Future[T]":
    """Start ``work``, whose result must be picklable; it may change nothing here.

    The work itself is not pickled: a fork has it.
    """
    fork = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(1, fork, initializer=_keep, initargs=(work,))
    future = pool.submit(_run)
    pool.shutdown(wait=False)
    return future


def _keep(work: Callable[[], Any]) -> None:
    global _work
    _work = work


def _run() -> Any:
    return _work()
