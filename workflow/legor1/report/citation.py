"""Values as the report writes them, each with the file and the key that it comes from.

A source is ``FILE#/KEY/…``: a path below the run's folder, and a JSON pointer into what it holds.
Rows of JSON lines are numbered from 0; one of ``table.csv`` is known by experiment, protocol, task
and metric. A computed value also says how it follows from its source.
"""

from collections.abc import Callable, Iterable
from typing import Any

from markupsafe import Markup

from legor1.core.format import count

Table = tuple[list[str], list[list[str]]]  # headings and rows
Record = dict[str, Any]  # a JSON object


class Cited(str):
    """A text that, wherever HTML is made of it, carries the value it writes and its source."""

    value: Any
    source: str
    how: str

    def __new__(cls, text: str, value: object, source: str, how: str = "") -> "Cited":
        """Return ``text`` with its source; ``how`` it follows from there, if it is not the same."""
        made = super().__new__(cls, text)
        made.value, made.source, made.how = value, source, how
        return made

    def __html__(self) -> Markup:
        how = Markup(' data-how="{}"').format(self.how) if self.how else ""
        value = repr(self.value) if isinstance(self.value, float) else str(self.value)
        element = Markup('<data value="{}" data-source="{}"{}>{}</data>')
        return element.format(value, self.source, how, str(self))


def pointer(file: str, *keys: object) -> str:
    """Return the source of what stands in ``file`` under ``keys``."""
    escaped = (str(key).replace("~", "~0").replace("/", "~1") for key in keys)
    return file + "#" + "".join(f"/{key}" for key in escaped)


def cite(file: str, content: Any, *keys: object, write: Callable[[Any], str] = str) -> Cited:
    """Return what stands in a file's content under ``keys``, as ``write`` writes it."""
    value = content
    for key in keys:
        value = value[key]
    return Cited(write(value), value, pointer(file, *keys))


def counted(n: int, source: str, how: str) -> Cited:
    """Return a number that was counted in a source, by words that say how."""
    return Cited(count(n), n, source, how)


def total(parts: Iterable[Cited], write: Callable[[float], str]) -> Cited:
    """Return the sum of cited values, with the source of each and how it follows from there."""
    parts = list(parts)
    value = sum(part.value for part in parts)
    sources = " + ".join(part.source for part in parts)
    how = " + ".join(part.how or "itself" for part in parts)
    return Cited(write(value), value, sources, how)
