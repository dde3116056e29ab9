"""Run trainings one after the other, each forked from a process that has loaded everything.

A program of its own, since loading takes longer than a training of the tiny model, and a process
that has trained must not fork. A run names the function that each of its ranks calls.
"""

import functools
import importlib
import os
import resource
import signal
import socket
import sys
from pathlib import Path

import deepspeed.runtime.zero.muon.muon_optimizer  # noqa: F401  (half of what a training loads)
from loaded import fork, serve
from transformers import TrainerCallback
from trl import GRPOConfig

from legor1.core.errors import UserError
from legor1.training import grpo, job, sft


class Fate(TrainerCallback):
    """What is to happen: ``{event: step}``."""

    def __init__(self, fate, trainer):
        self.fate, self.trainer = fate, trainer

    def on_substep_end(self, args, state, control, **kwargs):
        if self.fate.get("gradients_shown") == state.global_step + 1:
            parts = self.trainer.model_wrapped.optimizer.averaged_gradients.values()
            print("gradients add up in", *{str(one.dtype) for part in parts for one in part or ()})

    def on_step_begin(self, args, state, control, **kwargs):
        last = args.process_index == args.world_size - 1  # the others hear of it
        if last and self.fate.get("signalled") == state.global_step + 1:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_step_end(self, args, state, control, **kwargs):
        if self.fate.get("disk_full") == state.global_step:
            # Files can grow no more, as on a full disk.
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    def on_save(self, args, state, control, **kwargs):
        if self.fate.get("killed_in_save") == state.global_step:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_end(self, args, state, control, **kwargs):
        if self.fate.get("killed_at_end") == state.global_step:
            os.kill(os.getpid(), signal.SIGKILL)


def train(job_file: str, fate, config) -> int:
    """Train in this process, with changes to TRL's config; return the exit status."""
    grpo.GRPOConfig = functools.partial(GRPOConfig, **config)
    run = job.Job.run

    def fated(self, trainer):
        trainer.add_callback(Fate(fate, trainer))
        run(self, trainer)

    job.Job.run = fated
    loaded = job.Job(Path(job_file))
    try:
        {"sft": sft, "grpo": grpo}[loaded.recipe["method"]].run(loaded)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def start(run, rank: int, port: int) -> int:
    """Start one process of a run; return its id."""
    module, function = run["call"]
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": run["processes"]}
    ranks |= {"LOCAL_WORLD_SIZE": run["processes"], "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    changes = {name: str(value) for name, value in (ranks | run["environment"]).items()}

    def call() -> int | None:
        return getattr(importlib.import_module(module), function)(*run["arguments"])

    return fork(call, run["log"], dict(os.environ) | changes)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def run_all(runs) -> list[int]:
    """Return the exit status of each run; the first process that fails takes the others along."""
    return [run_one(run) for run in runs]


def run_one(run) -> int:
    port = free_port()
    living = {start(run, rank, port) for rank in range(run["processes"])}
    worst = 0
    while living:
        process, status = os.wait()
        living.discard(process)
        code = os.waitstatus_to_exitcode(status)
        if code and not worst:
            worst = code
            for other in living:
                os.kill(other, signal.SIGKILL)
    return worst


if __name__ == "__main__":
    serve(run_all)
