"""A process that has loaded what takes long, and forks for each thing that is asked of it."""

import json
import os
import select
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SECONDS = 1800  # after which an answer is given up


class Loaded:
    """A program that calls ``serve``, started once; it ends with the process that started it."""

    def __init__(self, program: str, environment: Mapping[str, str]):
        # Answers have a pipe of their own: what is loaded may write to standard output.
        answers, other_end = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name(program)), str(other_end)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[other_end],
            text=True,
        )
        os.close(other_end)
        self.answers = os.fdopen(answers)

    def ask(self, request: Any) -> Any:
        """Return the program's answer to a request; both are JSON."""
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answered, *_ = select.select([self.answers], [], [], SECONDS)
        assert answered, f"no answer within {SECONDS} s"
        answer = self.answers.readline()
        assert answer, f"the program ended with status {self.process.wait()}"
        return json.loads(answer)


def serve(answer: Callable[[Any], Any]) -> None:
    """Answer each request that comes on standard input."""
    answers = os.fdopen(int(sys.argv[1]), "w")
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


def run_fork(call: Callable[[], int | None], log: str, environment: dict[str, str]) -> int:
    """Wait for a process that ``fork`` starts; return its exit status."""
    _, status = os.waitpid(fork(call, log, environment), 0)
    return os.waitstatus_to_exitcode(status)


def fork(call: Callable[[], int | None], log: str, environment: dict[str, str]) -> int:
    """Start a process in ``environment`` that ends with the status of ``call``; return its id.

    What it says is added to ``log``.
    """
    if process := os.fork():
        return process
    status: Any = 1
    try:
        os.environ.clear()
        os.environ.update(environment)
        said = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        for stream, place in enumerate((os.open(os.devnull, os.O_RDONLY), said, said)):
            os.dup2(place, stream)
        status = call() or 0
    except SystemExit as end:
        status = end.code or 0
        if isinstance(status, str):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
