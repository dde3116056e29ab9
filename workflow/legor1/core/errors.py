"""The exceptions that a user is meant to see, and the name that a misspelt one resembles."""

import difflib
from collections.abc import Iterable


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
