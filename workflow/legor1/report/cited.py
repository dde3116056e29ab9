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


def percent(fraction: float | None) -> str:
    """Return a fraction as percent with one decimal and a true minus sign; a dash for none."""
    if fraction is None or fraction != fraction:
        return "–"
    return f"{100 * fraction:.1f}".replace("-", "−")


def points(fraction: float | None) -> str:
    """Return a difference of fractions in percentage points, with its sign."""
    sign = "+" if fraction is not None and fraction > 0 else ""
    return sign + percent(fraction)


def short(value: float) -> str:
    """Return a number with at most four significant digits and a true minus sign."""
    return f"{value:.4g}".replace("-", "−")


def count(number: float) -> str:
    """Return a whole number with its thousands apart."""
    return f"{number:,.0f}"


def slope(value: float | None) -> str:
    """Return a slope with three decimals; a dash for none."""
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """Return the p of a test; a dash for none."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def large(number: float) -> str:
    """Return a count in words: 950, 12.3 thousand, 1.6 million, 7.6 billion."""
    for power, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if number >= power:
            return f"{number / power:.1f} {word}"
    return f"{number:.0f}"


def duration(seconds: float) -> str:
    """Return a duration as a person would say it, such as ``4 min 05 s``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def size(number: float) -> str:
    """Return a number of bytes with its unit."""
    for unit in ("bytes", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def energy(watt_hours: float) -> str:
    """Return an amount of energy with its unit."""
    number, unit = (watt_hours / 1000, "kWh") if watt_hours >= 1000 else (watt_hours, "Wh")
    return f"{number:.2f} {unit}" if number < 10 else f"{number:.0f} {unit}"


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
