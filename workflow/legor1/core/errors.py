"""The exceptions that a user is meant to see."""


class UserError(Exception):
    """Something the user can put right.

    The message names what is wrong (file, row) and ends with the remedy. The command line
    prints it without a traceback and exits with status 2.
    """


class Stopped(Exception):
    """The stage stopped gracefully before its end; running it again resumes from there.

    The command line prints the message and exits with status 75 ("try again" in sysexits.h).
    """
