"""Stopping gracefully: after a step, with a whole checkpoint, all processes together."""

import math
import signal
import time
from typing import Any, TypeAlias

import torch
from torch import distributed
from transformers import TrainerCallback
from transformers import TrainerControl as Control
from transformers import TrainerState as State
from transformers import TrainingArguments as Arguments

from legor1.core.errors import UserError
from legor1.training.work_folder import REQUEST

Job: TypeAlias = Any  # that of ``job``, which imports this module
Trainer: TypeAlias = Any  # one of TRL's, with private parts
NO, ASKED, TIME = range(3)
REASONS = {ASKED: "as it was asked to", TIME: "before its time was over"}
# What must be left of the time: so many of the longest steps, then seconds to save and to leave.
STEPS_LEFT, SECONDS_TO_SAVE = 2, 60


class Stops(TrainerCallback):
    """Stops the training on SIGTERM, on request, or before ``job.deadline``."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.reason: str | None = None  # why it stopped
        self.signalled = False
        self.longest = 0.0  # seconds of a step, saving included
        self.last = time.time()
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, *_: object) -> None:
        self.signalled = True

    def on_train_begin(self, args: Arguments, state: State, control: Control, **_: object) -> None:
        """Start the clock."""
        self.last = time.time()

    def on_step_end(self, args: Arguments, state: State, control: Control, **_: object) -> None:
        """Stop all processes at the same step if any has a reason."""
        now = time.time()
        self.longest, self.last = max(self.longest, now - self.last), now
        verdict = torch.tensor(self._verdict(now), device=args.device)
        if distributed.is_initialized():
            distributed.all_reduce(verdict, op=distributed.ReduceOp.MAX)
        if verdict.item() != NO and state.global_step < state.max_steps:
            self.reason = REASONS[int(verdict.item())]
            control.should_save = control.should_training_stop = True

    def _verdict(self, now: float) -> int:
        end = now + STEPS_LEFT * self.longest + SECONDS_TO_SAVE
        if self.job.deadline and end > self.job.deadline:
            return TIME
        return ASKED if self.signalled or (self.job.work / REQUEST).exists() else NO


class Divergence(TrainerCallback):
    """Ends ``trainer``'s training at the first step whose loss or gradient is not finite."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def on_step_end(self, args: Arguments, state: State, control: Control, **_: object) -> None:
        """Check the step, before anything of it is saved; a UserError says that it diverged."""
        loss = self.trainer._tr_loss.item()  # the sum since the last line that was logged
        norm = float(self.trainer.model_wrapped.get_global_grad_norm())
        if not math.isfinite(loss):
            raise diverged(f"the loss of step {state.global_step} is {loss}")
        if not math.isfinite(norm) or norm < 0:  # DeepSpeed's -1 stands for either
            raise diverged(f"the gradient of step {state.global_step} is not finite")


def diverged(what: str) -> UserError:
    """Return the error of a training whose numbers are no longer finite."""
    return UserError(
        f"the training diverged: {what}. "
        "Remedy: lower training.learning_rate, or lengthen training.warmup."
    )


def explain(error: Exception, step: int) -> UserError | None:
    """Return what ``error`` after ``step`` steps means, if a diverged model's rollout raised it."""
    if "probability tensor contains" not in str(error):
        return None
    return diverged(f"in step {step + 1} the model gives no probabilities to draw answers by")
