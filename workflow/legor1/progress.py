"""Lines on stderr that say where long work stands and how long it will take."""

import sys
import time

SECONDS_BETWEEN_LINES = 10


class Progress:
    """Says at most one line every few seconds, and one at the end.

    Several jobs run side by side and their logs are kept, so these are lines, not a moving bar.
    """

    def __init__(self, name: str, what: str, total: int, done: int = 0) -> None:
        """Start the clock.

        Args:
            name: whose work it is, such as the experiment's.
            what: the word before the count, such as ``step``.
            total: how much there is to do.
            done: how much was done before, by a run that was interrupted.
        """
        self.name, self.what, self.total, self.first = name, what, total, done
        self.started = self.said = time.monotonic()

    def at(self, done: int, values: str = "") -> None:
        """Say how far it is, with some ``values``, if the last line is old or all is done."""
        now = time.monotonic()
        if now - self.said < SECONDS_BETWEEN_LINES and done < self.total:
            return
        self.said = now
        pace = (now - self.started) / max(done - self.first, 1)
        left = pace * (self.total - done) / 60
        parts = [f"{self.what} {done}/{self.total}", values, f"{left:.1f} min left"]
        line = "  ".join(part for part in parts if part)
        print(f"{self.name:>9}  {line}", file=sys.stderr, flush=True)
