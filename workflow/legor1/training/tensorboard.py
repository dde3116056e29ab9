"""Training curves for TensorBoard: what ``history.jsonl`` gets, while the training runs.

tensorboard --logdir results/<run>/adapters
"""

import shutil
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback


class Curves(TrainerCallback):
    """Writes every logged number to an event file, on the first process only.

    A training that goes on from a checkpoint writes the curves anew from what the checkpoint
    remembers: steps that were lost with an interrupted run leave no second line.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: SummaryWriter | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin the event file, with the history so far."""
        if state.is_world_process_zero:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.writer = SummaryWriter(self.folder)
            for log in state.log_history:
                self._write(log, log["step"])

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Write what was logged, so that it can be seen at once."""
        self._write(logs or {}, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End the event file."""
        if self.writer is not None:
            self.writer.close()

    def _write(self, log: dict[str, Any], step: int) -> None:
        if self.writer is None:
            return
        for name, value in log.items():
            if isinstance(value, int | float) and name != "step":
                self.writer.add_scalar(name, value, step)
        self.writer.flush()
