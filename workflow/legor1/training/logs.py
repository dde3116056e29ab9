"""What a training shows while it runs: lines on the terminal, files for watchers, and curves.

``progress.json`` and ``history.jsonl`` lie in the work folder until the adapter is published.
Nothing depends on them: what cannot be written is skipped. The curves are for
``tensorboard --logdir results/<run>/adapters``.
"""

import contextlib
import json
import math
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback
from transformers.integrations import TensorBoardCallback

from legor1.core.errors import UserError
from legor1.core.files import write_json, write_jsonl
from legor1.core.progress import Progress
from legor1.training.stopping import Arguments, Control, State
from legor1.training.work_folder import HISTORY, PROGRESS

SECONDS_BETWEEN_NOTES = 2


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
            rows = map(numbers, state.log_history)
            _try(lambda: write_jsonl(self.folder / HISTORY, rows))
            self._note(state)

    def on_log(self, args: Arguments, state: State, control: Control, **_: object) -> None:
        """Add the row that was logged; keep its reward or loss for the next line."""
        if self.shown is not None:
            row = numbers(state.log_history[-1])
            kind = "reward" if "reward" in row else "loss"  # GRPO's loss is about 0 by design
            self.latest |= {name: row[name] for name in (kind,) if name in row}
            _try(lambda: self._append(row))

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

    def _append(self, row: dict[str, float]) -> None:
        with (self.folder / HISTORY).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def _note(self, state: State) -> None:
        self.noted = time.monotonic()
        note = {"schema_version": 1, "step": state.global_step, "steps": state.max_steps}
        _try(lambda: write_json(self.folder / PROGRESS, note))


def _try(write: Callable[[], object]) -> None:
    """Call ``write``; a full disk must not end a training for the sake of its watchers."""
    with contextlib.suppress(OSError, UserError):
        write()


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
