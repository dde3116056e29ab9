"""Progress of long work on stderr: a bar in a terminal, now and then a line in a log."""

import re
import sys
import time

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10  # in a log, where a bar cannot be drawn over itself
LINE = "{desc}: {n_fmt}/{total_fmt} {unit}{postfix}, {elapsed} elapsed, {remaining} left"
TIMES = re.compile(r", [\d:]+ elapsed, [\d:?]+ left$")  # the end of such a line


class Progress(tqdm):
    """tqdm that writes a line at a time, and not often, where nobody watches.

    It speaks where ``TQDM_DISABLE`` silences the libraries, whose bars would stand between.
    """

    disable: bool

    def __init__(self, *arguments: object, **settings: object) -> None:
        self._watched = sys.stderr.isatty()
        self._due = time.monotonic() + SECONDS_BETWEEN_LINES
        if not self._watched:
            settings["bar_format"] = LINE
        super().__init__(*arguments, **{"disable": False} | settings)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Draw the bar, or write a line if it is due."""
        if self._watched:
            super().display(msg, pos)
        elif time.monotonic() >= self._due:
            self._write_line()

    def close(self) -> None:
        """End the bar; a log gets a last line, and has no bar to wipe out."""
        if not (self._watched or self.disable):
            if self.n == self.total:
                self._write_line()
            self.disable = True
        super().close()

    def _write_line(self) -> None:
        self._due = time.monotonic() + SECONDS_BETWEEN_LINES
        print(self, file=sys.stderr, flush=True)
