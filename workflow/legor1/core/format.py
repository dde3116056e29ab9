"""Numbers as people read them: percent, durations, sizes, p values."""


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
