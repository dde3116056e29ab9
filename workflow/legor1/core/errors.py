"""The exceptions that a user is meant to see, and the name that a misspelt one resembles."""

import difflib
from collections.abc import Collection, Iterable


class UserError(Exception):
    """Something the user can put right.

    The message names what is wrong (file, row) and ends with the remedy. The command line
    prints it without a traceback and exits with status 2.
    """


class Stopped(Exception):
    """The stage stopped gracefully, to be resumed; exit status 75 ("try again" in sysexits.h)."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that ``name`` resembles most."""
    return difflib.get_close_matches(name, list(known), 1, cutoff=0)[0]


def no_such(what: str, name: str, known: Collection[str], remedy: str) -> str:
    """Return what is to be said of a ``name`` that is none of those that are ``known``."""
    near = f" Did you mean {nearest(name, known)}?" if known else ""
    return f"there is no {what}.{near} Remedy: {remedy}."
