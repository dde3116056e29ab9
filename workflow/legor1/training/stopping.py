"""Stopping in good order: after a step, with a whole checkpoint, all processes together."""

import math
import signal
import time
from typing import Any

import torch
from torch import distributed
from transformers import TrainerCallback

from legor1.core.errors import UserError
from legor1.training import work_folder

NO, ASKED, TIME = range(3)
REASONS = {ASKED: "as it was asked to", TIME: "before its time was over"}
# It stops unless the time lasts for so many of the longest steps, then to save and to leave.
STEPS_LEFT, SECONDS_TO_SAVE = 2, 60


class Stops(TrainerCallback):
    """Stops the training on SIGTERM, on request, or before ``job.deadline``.

    Attributes:
        reason: why it stopped, or None.
    """

    def __init__(self, job: Any) -> None:
        self.job = job
        self.reason: str | None = None
        self.signalled = False
        self.longest = 0.0  # seconds of a step, saving included
        self.last = time.time()
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, *_: Any) -> None:
        self.signalled = True

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self.last = time.time()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop if any process has a reason; each hears it at the same step."""
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
        return ASKED if self.signalled or work_folder.is_asked_to_stop(self.job.work) else NO


class Divergence(TrainerCallback):
    """Ends ``trainer``'s training at the first step whose loss or gradient is not finite."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look at the step, before anything of it is saved.

        Raises:
            UserError: it diverged.
        """
        loss = self.trainer._tr_loss.item()  # the sum since the last line that was logged
        norm = float(self.trainer.model_wrapped.get_global_grad_norm())
        if not math.isfinite(loss):
            raise diverged(f"the loss of step {state.global_step} is {loss}")
        if not math.isfinite(norm) or norm < 0:  # DeepSpeed's -1 stands for either
            raise diverged(f"the gradient of step {state.global_step} is not finite")


def diverged(what: str) -> UserError:
    """Return the error of a training that has left the range of numbers."""
    return UserError(
        f"the training diverged: {what}. "
        "Remedy: lower training.learning_rate, or lengthen training.warmup."
    )


def explain(error: Exception, step: int) -> UserError | None:
    """Return what ``error`` after ``step`` steps means, if a diverged model's rollout raised it."""
    if "probability tensor contains" not in str(error):
        return None
    return diverged(f"in step {step + 1} the model gives no probabilities to draw answers by")
