"""A stock trainer and ours in processes of their own, taking turns, a step each.

So the machine's moods reach both alike.
"""

import multiprocessing
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from measuring import matrix_speed, memory, work_counter

Step = dict[str, float]
Make = Callable[[bool, str], Any]  # ours?, and a folder to write to → the trainer


class Watcher(Protocol):
    """What a benchmark notes of a trainer's steps beside their time."""

    def begin(self) -> None:
        """Begin anew, before a step."""
        ...

    def read(self, logs: dict[str, Any], cpu: float) -> Step:
        """Return what the step was that is logged here and took ``cpu`` seconds."""
        ...


def compare(
    make: Make, watch: Callable[[Any], Watcher], steps: int, counted: int
) -> dict[bool, list[Step]]:
    """Return what each step of the stock trainer (False) and of ours (True) took.

    Args:
        make: the trainer of one side; a function of a module, for another process.
        watch: its watcher; likewise.
        steps: of each side.
        counted: in this one, from 1, operations are counted, which takes time.
    """
    context = multiprocessing.get_context("spawn")
    sides, took = {}, defaultdict(list)
    for ours in (False, True):
        here, there = context.Pipe()
        process = context.Process(target=work, args=(there, make, watch, ours, counted))
        process.start()
        there.close()
        sides[ours] = here, process
    for _ in range(steps):
        for ours, (connection, _) in sides.items():
            connection.send("go")
            took[ours].append(connection.recv() | {"speed": matrix_speed()})
    for connection, process in sides.values():
        process.join()
        connection.close()
    return took


def work(
    connection: Connection, make: Make, watch: Callable[[Any], Watcher], ours: bool, counted: int
) -> None:
    """Train in a process of its own: a step for each message, answered with what it took."""
    import torch
    from transformers import PrinterCallback

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    with tempfile.TemporaryDirectory() as out:
        trainer = make(ours, out)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(turns(connection, watch(trainer), counted))
        trainer.train()


def turns(connection: Connection, watcher: Watcher, counted: int) -> Any:
    """Return a callback that waits for its turn before a step and reports after it."""
    from transformers import TrainerCallback

    counter = work_counter()

    class Turns(TrainerCallback):
        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            self.resident = memory("VmRSS")
            self.begin(1)

        def begin(self, step: int) -> None:
            watcher.begin()
            connection.recv()
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
            self.started = time.perf_counter(), time.process_time()
            if step == counted:
                counter.__enter__()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "loss" not in (logs or {}):
                return
            ended = time.perf_counter(), time.process_time()
            wall, cpu = (end - start for end, start in zip(ended, self.started, strict=True))
            if state.global_step == counted:
                counter.__exit__(None, None, None)
            facts = {"wall": wall, "cpu": cpu, "flops": counter.get_total_flops()}
            facts |= {"logged loss": float(logs["loss"])}
            facts |= {"peak": memory("VmHWM") - self.resident}
            connection.send(facts | watcher.read(logs, cpu))
            if state.global_step < state.max_steps:
                self.begin(state.global_step + 1)

    return Turns()
