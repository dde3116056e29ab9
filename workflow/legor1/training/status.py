"""What a running training shows to those who watch: where it stands, and its history so far.

Both lie in the work folder until the adapter is published. Nothing depends on them: what cannot be
written is left out.
"""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from legor1.core.errors import UserError
from legor1.core.files import write_json, write_jsonl
from legor1.training.history import numbers
from legor1.training.work_folder import HISTORY, PROGRESS

SECONDS_BETWEEN_NOTES = 2


class Live(TrainerCallback):
    """Keeps ``progress.json`` and ``history.jsonl`` in the work folder, on the first process only.

    The history is the one that the adapter gets, row by row; a training that goes on from a
    checkpoint begins it anew with what the checkpoint remembers. The progress is how many steps are
    done of how many, and how long those since step ``first`` have taken, in seconds.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.first = 0
        self.started = self.noted = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin the history, and start the clock."""
        self.first, self.started = state.global_step, time.monotonic()
        if state.is_world_process_zero:
            rows = map(numbers, state.log_history)
            _try(lambda: write_jsonl(self.folder / HISTORY, rows))
            self._note(state)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Add the row that was logged."""
        if state.is_world_process_zero:
            _try(lambda: self._append(numbers(state.log_history[-1])))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Say where it stands, every few seconds."""
        due = time.monotonic() >= self.noted + SECONDS_BETWEEN_NOTES
        if state.is_world_process_zero and (due or state.global_step == state.max_steps):
            self._note(state)

    def end(self) -> None:
        """Remove both files: the adapter has the history now."""
        for name in (PROGRESS, HISTORY):
            (self.folder / name).unlink(missing_ok=True)

    def _append(self, row: dict[str, float]) -> None:
        with (self.folder / HISTORY).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def _note(self, state: Any) -> None:
        self.noted = time.monotonic()
        facts = {"step": state.global_step, "steps": state.max_steps, "first": self.first}
        seconds = round(self.noted - self.started, 3)
        note = {"schema_version": 1} | facts | {"seconds": seconds}
        _try(lambda: write_json(self.folder / PROGRESS, note))


def _try(write: Callable[[], Any]) -> None:
    """Write something, or not: a full disk must not end a training for the sake of its watchers."""
    with contextlib.suppress(OSError, UserError):
        write()
