"""What a training logs: its numbers, and a line of progress now and then."""

from typing import Any

from transformers import TrainerCallback

from legor1.core.progress import Progress


def numbers(log: dict[str, Any]) -> dict[str, float]:
    """Return the numeric part of a log record; transformers writes some numbers as strings."""
    numbers = {}
    for key, value in log.items():
        try:
            numbers[key] = float(value)
        except (TypeError, ValueError):
            continue
        if numbers[key] != numbers[key] or abs(numbers[key]) == float("inf"):
            del numbers[key]
    return numbers


class Steps(TrainerCallback):
    """Says every few seconds where the training stands, with its latest loss and reward."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.latest: dict[str, float] = {}
        self.progress: Progress | None = None  # shown by the first process only

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock: a resumed training does not start at step 0."""
        if state.is_world_process_zero:
            done, total = state.global_step, state.max_steps
            self.progress = Progress(initial=done, total=total, desc=self.name, unit="steps")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Keep the latest loss and reward for the next line."""
        self.latest |= {k: v for k, v in numbers(logs or {}).items() if k in ("loss", "reward")}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Say where it stands, on the first process only."""
        if self.progress is not None:
            self.progress.set_postfix(self.latest, refresh=False)
            self.progress.update()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End the display."""
        if self.progress is not None:
            self.progress.close()
