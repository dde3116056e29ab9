"""Run trainings one after the other, each forked from a process that has loaded everything.

python forked_runs.py RUNS.json        each: job, processes, changes, and fate

A program of its own, since loading takes longer than a training of the tiny model, and a process
that has trained must not fork.
"""

import functools
import json
import os
import resource
import signal
import socket
import sys
import traceback
from pathlib import Path

import deepspeed.runtime.zero.muon.muon_optimizer  # noqa: F401  (half of what a training loads)
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


def train(folder: Path, fate, config) -> int:
    """Train in this process, with changes to TRL's config; return the exit status."""
    grpo.GRPOConfig = functools.partial(GRPOConfig, **config)
    run = job.Job.run

    def fated(self, trainer):
        trainer.add_callback(Fate(fate, trainer))
        run(self, trainer)

    job.Job.run = fated
    loaded = job.Job(folder)
    try:
        {"sft": sft, "grpo": grpo}[loaded.recipe["method"]].run(loaded)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def fork(run, rank: int, port: int) -> int:
    """Start one process of a training; return its id."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": run["processes"]}
        ranks |= {"LOCAL_WORLD_SIZE": run["processes"], "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in ranks.items()})
        log = os.open(run["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        status = train(Path(run["job"]), run["fate"], run["config"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def main(plan: Path) -> None:
    """Print the exit status of each run; the first process that fails takes the others along."""
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    statuses = []
    for run in json.loads(plan.read_text()):
        port = free_port()
        living = {fork(run, rank, port) for rank in range(run["processes"])}
        worst = 0
        while living:
            process, status = os.wait()
            living.discard(process)
            code = os.waitstatus_to_exitcode(status)
            if code and not worst:
                worst = code
                for other in living:
                    os.kill(other, signal.SIGKILL)
        statuses.append(worst)
    print(json.dumps(statuses))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
