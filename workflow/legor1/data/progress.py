"""Progress of long work: a bar in a terminal, now and then a line in a log."""

import sys
import time
from typing import Any

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 15  # in a log, where a bar cannot be drawn over itself


class Progress(tqdm):
    """tqdm that writes a line at a time, and not often, where nobody watches."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._watched = sys.stderr.isatty()
        self._due = time.monotonic() + SECONDS_BETWEEN_LINES
        super().__init__(*arguments, **settings)

    def display(self, msg: str | None = None, pos: int | None = None) -> Any:
        """Draw the bar, or write a line if it is due."""
        if self._watched:
            return super().display(msg, pos)
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + SECONDS_BETWEEN_LINES
            print(self, file=sys.stderr, flush=True)
        return None

    def close(self) -> None:
        """End the bar; a log has no bar to wipe out."""
        if not self._watched:
            self.disable = True
        super().close()
