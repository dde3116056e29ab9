"""Text as a report may carry it: escaped, and without home folders, hosts and secrets."""

import getpass
import re
import socket
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from legor1.core import format as formats
from legor1.core.layout import IN_RUN
from legor1.report.citation import Cited, cite, counted, pointer
from legor1.tasks.discovery import TASKS, main_metric

TEMPLATES = Path(__file__).parents[2] / "report"
COLOURS = 6  # --e0 to --e5 in the stylesheet
# Where an absolute path starts: not within a relative one, a JSON pointer or an embedded image.
_START = r"(?<![\w#.~+-])(?<!base64,)"
_SEP = r"(?:/|~1)"  # the second in a JSON pointer
_NAME = r"[^/\\\s\"'<>&;:,|~]+"
_END = r"(?![\w.-])"
HOMES = (
    rf"{_START}(?:{_SEP}[\w.+-]+)*?{_SEP}(?:home|Users|users){_SEP}{_NAME}",
    rf"(?i:\b[a-z]:(?:\\{{1,2}}|/)users(?:\\{{1,2}}|/)){_NAME}",
    rf"{_START}{_SEP}root{_END}",
)
SECRETS = (
    r"\b(?:hf|hf_oauth|hf_jwt|api_org)_[A-Za-z0-9]{16,}",
    r"\b(?:gh[pousr]_|github_pat_|glpat-|sk-|xox[abpr]-)[\w-]{16,}",
    r"\bAKIA[0-9A-Z]{16}\b",
    # Looks ahead once, where a run of these letters begins: within it each eyJ would look again.
    r"(?<![\w-])(?=[\w-]++\.[\w-]{8,}+\.[\w-])[\w-]*?\beyJ[\w-]{8,}+\.[\w-]++\.[\w-]++",
    r"(?<=://)[^\s/@\"'<>&]+(?=@)",
    r"(?<=TOKEN=|ECRET=|SWORD=|I_KEY=|S_KEY=)[^\s\"'<>&]+",
)
UNWRITABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def environment() -> Environment:
    """Return Jinja's environment: all values escaped, undefined names are errors."""
    made = Environment(
        extensions=["jinja2.ext.do"],
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"colour": colour, "number": number}
    made.filters |= {"count": formats.count, "percent": formats.percent, "short": formats.short}
    made.globals |= {"Cited": Cited, "cite": cite, "counted": counted, "pointer": pointer}
    made.globals |= {"IN_RUN": IN_RUN, "formats": formats}
    made.globals["main_metrics"] = {(m.task, m.name): m for m in map(main_metric, TASKS)}
    return made


def colour(index: int) -> str:
    """Return the class that sets the colour of experiment number ``index``."""
    return f"e{index % COLOURS}"


def number(value: float) -> str:
    """Return a length with two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def publishable(text: str) -> str:
    """Return ``text`` as it may be passed on.

    Home folders become ``~``, secrets ``[secret]``, this machine's name ``[host]``, its user's name
    in a path or an address ``[user]``; what has no place in a text file, such as control characters
    and lone surrogates, becomes U+FFFD.
    """
    for pattern, mask in _masks():
        text = pattern.sub(mask, text)
    return UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text)


@cache
def _masks() -> list[tuple[re.Pattern[str], str]]:
    home, host = str(Path.home()), socket.gethostname()
    homes = list(HOMES)
    if len(home) > 1:
        homes.append(_START + re.escape(home).replace("/", _SEP) + _END)
    masks = [(re.compile("|".join(SECRETS)), "[secret]"), (re.compile("|".join(homes)), "~")]
    if re.search(r"[\d.-]", host):  # else it may be a word that the report needs
        names = {re.escape(name) for name in (host, host.partition(".")[0]) if len(name) > 3}
        words = "|".join(sorted(names, key=len, reverse=True))
        masks += [(re.compile(rf"(?<![\w-])(?:{words})(?![\w-])"), "[host]")] if names else []
    if (user := _user()) not in ("", "root"):
        inside = rf"({_START}{_SEP}(?:[\w.+-]+{_SEP})*?){re.escape(user)}{_END}"
        masks.append((re.compile(inside), r"\1[user]"))
        masks.append((re.compile(rf"\b{re.escape(user)}@"), "[user]@"))
    return masks


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container need not have an entry for its user
        return ""
