"""Values as the report writes them, each with the file and the key that it comes from.

A source is ``FILE#/KEY/…``: a path below the run's folder, and a JSON pointer into what it holds.
Rows of JSON lines are numbered from 0; one of ``table.csv`` is known by experiment, protocol, task
and metric. What was computed from there says how.
"""

from collections.abc import Callable, Iterable
from typing import Any

from markupsafe import Markup

ITSELF = "itself"  # how a value that is not computed follows from its source, beside others


class Cited(str):
    """A text that, wherever HTML is made of it, carries the value it writes and its source."""

    value: Any
    source: str
    how: str

    def __new__(cls, text: str, value: Any, source: str, how: str = "") -> "Cited":
        """Return ``text`` with its source; ``how`` says what of the source it is, if not itself."""
        made = super().__new__(cls, text)
        made.value, made.source, made.how = value, source, how
        return made

    def __html__(self) -> Markup:
        how = Markup(' data-how="{}"').format(self.how) if self.how else ""
        return Markup('<data value="{}" data-source="{}"{}>{}</data>').format(
            repr(self.value) if isinstance(self.value, float) else str(self.value),
            self.source,
            how,
            str(self),
        )


def pointer(file: str, *keys: Any) -> str:
    """Return the source of what stands in ``file`` under ``keys``."""
    return file + "#" + "".join("/" + _escaped(str(key)) for key in keys)


def cite(file: str, content: Any, *keys: Any, write: Callable[[Any], str] = str) -> Cited:
    """Return what stands in a file's content under ``keys``, as ``write`` writes it.

    Raises:
        LookupError: there is nothing.
    """
    value = content
    for key in keys:
        value = value[key]
    return Cited(write(value), value, pointer(file, *keys))


def total(parts: Iterable[Cited], write: Callable[[Any], str]) -> Cited:
    """Return the sum of cited values, with the source and the way of each."""
    parts = list(parts)
    ways = (one.how or ITSELF for one in parts)
    joined = " + ".join(one.source for one in parts), " + ".join(ways)
    value = sum(one.value for one in parts)
    return Cited(write(value), value, *joined)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
