"""Resuming bit for bit: what transformers' checkpoints leave out, and the order of their parts.

transformers' own lack the sums since the last logged line, so that a resumed training would log
other losses, and the completions that GRPO had sampled for the next steps.
"""

import errno
import time
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import SeedableRandomSampler
from deepspeed.runtime.fp16.loss_scaler import LossScaler
from deepspeed.runtime.zero.config import ZeroStageEnum
from deepspeed.utils.tensor_fragment import fragment_address
from torch import distributed
from transformers import TrainerCallback
from transformers.trainer_pt_utils import safe_globals
from trl.trainer.utils import RepeatSampler

from legor1.core.errors import UserError
from legor1.training import work_folder
from legor1.training.callbacks import Arguments, Control, State, Trainer

OWN_FILE = "progress_{}.pt"  # a process's part of a checkpoint
FULL = (errno.ENOSPC, errno.EDQUOT)
# Attributes of transformers' and TRL's trainers: sums since the last logged line, and counters.
COUNTED = (
    "_tr_loss", "_total_loss_scalar", "_globalstep_last_logged", "_total_train_tokens", "_step",
)  # fmt: skip
# DeepSpeed's plain values in optimiser states; the launcher makes torch refuse all others.
torch.serialization.add_safe_globals([LossScaler, ZeroStageEnum, fragment_address])


class Checkpoints(TrainerCallback):
    """Completes each checkpoint of ``trainer``, marks it, and resumes from it."""

    def __init__(self, trainer: Trainer, work: Path) -> None:
        self.trainer, self.work = trainer, work
        self.saving: int | None = None  # the step whose checkpoint is being written
        self.resumed: Path | None = None
        self.started, self.before = time.monotonic(), 0.0

    def seconds(self) -> float:
        """Return how long the training has taken, earlier attempts included."""
        return self.before + time.monotonic() - self.started

    def resume(self) -> str | None:
        """Return the newest whole checkpoint, if there is one, for ``Trainer.train``."""
        self.resumed = work_folder.newest(self.work)
        return str(self.resumed) if self.resumed else None

    def on_train_begin(self, args: Arguments, state: State, control: Control, **given: Any) -> None:
        """Restore what transformers leaves out; the history says where the training resumed."""
        if self.resumed:
            self.before = load(self.trainer, self.resumed / OWN_FILE.format(args.process_index))
            shuffle_as_before(given["train_dataloader"], int(state.epoch or 0))
            state.log_history.append({"resumed": 1, "step": state.global_step})
            if state.global_step >= state.max_steps:  # transformers would do one more step
                self.trainer._run_epoch = lambda **_: None
                control.should_training_stop = True

    def on_step_end(self, args: Arguments, state: State, control: Control, **_: object) -> None:
        """Note that a checkpoint is about to be written, for ``explain``."""
        self.saving = state.global_step if control.should_save else None

    def on_save(self, args: Arguments, state: State, control: Control, **_: object) -> None:
        """Add this process's part; after all have, the first marks the checkpoint as whole."""
        checkpoint = self.work / f"checkpoint-{state.global_step}"
        save(self.trainer, checkpoint / OWN_FILE.format(args.process_index), self.seconds())
        if distributed.is_initialized():
            distributed.barrier()
        if state.is_world_process_zero:
            work_folder.mark_whole(checkpoint)
            work_folder.keep_newest(self.work)
        self.saving = None

    def explain(self, error: Exception) -> UserError | None:
        """Return what ``error`` means to the user, if a file could not be written or read."""
        if self.resumed and (path := refused(self.resumed)):
            return UserError(
                f"{path} is damaged, or holds code, none of which was run. Remedy: delete "
                f"{self.resumed} and run again: it resumes from the checkpoint before, or from "
                "the start."
            )
        if self.saving is not None:
            what = f"the checkpoint of step {self.saving} could not be written to {self.work}"
        elif getattr(error, "errno", None) in FULL:
            what = f"a file of the training in {self.work} could not be written"
        else:
            return None
        whole = work_folder.newest(self.work)
        last = f"is of step {work_folder.step_of(whole)}" if whole else "does not exist yet"
        return UserError(
            f"{what}: {error}. The last whole checkpoint {last}. "
            "Remedy: make room on that disk and run again: it resumes from there."
        )


def refused(checkpoint: Path) -> Path | None:
    """Return the file of a checkpoint, if there is one, that is not plain values."""
    for path in sorted([*checkpoint.rglob("*.pt"), *checkpoint.rglob("*.pth")]):
        try:
            with safe_globals():
                torch.load(path, map_location="cpu", weights_only=True)
        except Exception:  # of many kinds, by what is wrong with the file
            return path
    return None


def save(trainer: Trainer, path: Path, seconds: float) -> None:
    """Write what transformers leaves out: sums, counters, completions that wait for their step."""
    kept: dict[str, object] = {"seconds": seconds}
    kept |= {name: getattr(trainer, name) for name in COUNTED if hasattr(trainer, name)}
    kept["_metrics"] = {mode: dict(values) for mode, values in trainer._metrics.items()}
    # Completions are sampled for several steps, and of no use after the last of these.
    if (waiting := getattr(trainer, "_buffered_inputs", None)) is not None and (
        trainer._step % (trainer.args.steps_per_generation * trainer.num_iterations)
    ):
        kept["_buffered_inputs"] = waiting
    torch.save(kept, path)


def load(trainer: Trainer, path: Path) -> float:
    """Restore what ``save`` wrote; return the seconds that the training had taken."""
    kept = torch.load(path, weights_only=True)
    seconds: float = kept.pop("seconds")
    for mode, values in kept.pop("_metrics").items():
        trainer._metrics[mode].update(values)
    for name, value in kept.items():
        setattr(trainer, name, value)
    trainer._initial_global_step = 0  # the mean loss at the end is that of all steps
    return seconds


def shuffle_as_before(loader: Any, epochs: int) -> None:
    """Have the new sampler of a data loader draw the order of the epoch after ``epochs``."""
    batches = loader.batch_sampler
    while hasattr(batches, "batch_sampler"):  # those that distribute its batches
        batches = batches.batch_sampler
    sampler = batches.sampler
    if isinstance(sampler, RepeatSampler):  # TRL's has no epoch: its generator continues
        for _ in range(epochs if sampler.shuffle else 0):
            torch.randperm(sampler.num_samples, generator=sampler.generator)
    elif isinstance(sampler, SeedableRandomSampler):
        sampler.set_epoch(epochs)
    else:
        raise TypeError(f"the order of a {type(sampler).__name__} cannot be resumed")
