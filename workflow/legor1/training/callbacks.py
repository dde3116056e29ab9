"""The callbacks of a training: stopping gracefully, and what it shows while it runs.

It stops after a step, with a whole checkpoint, all processes together. It shows lines on the
terminal, files for watchers, and curves. ``progress.json`` and ``history.jsonl`` lie in the work
folder until the adapter is published; nothing depends on them: what cannot be written is skipped.
The curves are for ``tensorboard --logdir results/<run>/adapters``.
"""

import contextlib
import json
import math
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import distributed
from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback
from transformers import TrainerControl as Control
from transformers import TrainerState as State
from transformers import TrainingArguments as Arguments
from transformers.integrations import TensorBoardCallback

from legor1.core.errors import UserError
from legor1.core.files import write_json, write_jsonl
from legor1.core.progress import Progress
from legor1.training.work_folder import HISTORY, PROGRESS, REQUEST

Job: TypeAlias = Any  # that of ``job``, which imports this module
Trainer: TypeAlias = Any  # one of TRL's, with private parts
NO, ASKED, TIME = range(3)
REASONS = {ASKED: "as it was asked to", TIME: "before its time was over"}
# What must be left of the time: so many of the longest steps, then seconds to save and to leave.
STEPS_LEFT, SECONDS_TO_SAVE = 2, 60
SECONDS_BETWEEN_NOTES = 2
SKIPPED = (OSError, UserError)  # a full disk must not end a training for the sake of its watchers


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


def numbers(log: Mapping[str, object]) -> dict[str, float]:
    """Return the finite numbers of a log record; transformers writes some as strings."""
    numbers = {}
    for key, value in log.items():
        with contextlib.suppress(TypeError, ValueError):
            number = float(value)  # type: ignore[arg-type]
            if math.isfinite(number):
                numbers[key] = number
    return numbers


class Live(TrainerCallback):
    """Says on the terminal how far the training is, and keeps files of it in the work folder.

    A line every few seconds has the latest reward, or else loss. The history is the one that the
    adapter gets, row by row; a resumed training begins with what the checkpoint remembers. The
    progress is the number of steps done and of all steps. All on the first process only.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.latest: dict[str, float] = {}
        self.shown: Progress | None = None
        self.noted = time.monotonic()

    def on_train_begin(self, args: Arguments, state: State, control: Control, **_: object) -> None:
        """Begin display and history."""
        if state.is_world_process_zero:
            steps = {"initial": state.global_step, "total": state.max_steps}
            self.shown = Progress(**steps, desc=self.name, unit="steps")
            with contextlib.suppress(*SKIPPED):
                write_jsonl(self.folder / HISTORY, map(numbers, state.log_history))
            self._note(state)

    def on_log(self, args: Arguments, state: State, control: Control, **_: object) -> None:
        """Add the row that was logged; keep its reward or loss for the next line."""
        if self.shown is not None:
            row = numbers(state.log_history[-1])
            kind = "reward" if "reward" in row else "loss"  # GRPO's loss is about 0 by design
            self.latest |= {name: row[name] for name in (kind,) if name in row}
            history = self.folder / HISTORY
            with contextlib.suppress(*SKIPPED), history.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def on_step_end(self, args: Arguments, state: State, control: Control, **_: object) -> None:
        """Count the step; renew the progress every few seconds, and at the end."""
        if self.shown is not None:
            self.shown.set_postfix(self.latest, refresh=False)
            self.shown.update()
            due = time.monotonic() >= self.noted + SECONDS_BETWEEN_NOTES
            if due or state.global_step == state.max_steps:
                self._note(state)

    def on_train_end(self, args: Arguments, state: State, control: Control, **_: object) -> None:
        """End the display."""
        if self.shown is not None:
            self.shown.close()

    def end(self) -> None:
        """Remove both files: the adapter has the history now."""
        for name in (PROGRESS, HISTORY):
            (self.folder / name).unlink(missing_ok=True)

    def _note(self, state: State) -> None:
        self.noted = time.monotonic()
        note = {"schema_version": 1, "step": state.global_step, "steps": state.max_steps}
        with contextlib.suppress(*SKIPPED):
            write_json(self.folder / PROGRESS, note)


class Curves(TensorBoardCallback):
    """Writes every logged number to an event file in ``folder``, on the first process only.

    A resumed training rewrites the curves from what the checkpoint remembers, so that steps
    that were lost with an interrupted run leave no second line.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def on_train_begin(self, args: Arguments, state: State, control: Control, **_: object) -> None:
        """Begin the event file, with the history so far."""
        if state.is_world_process_zero:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.tb_writer = SummaryWriter(self.folder)
            for log in state.log_history:
                then = State(global_step=int(log["step"]), is_world_process_zero=True)
                self.on_log(args, then, control, logs=log)
