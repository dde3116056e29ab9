"""The one exception that a user is meant to see."""


class UserError(Exception):
    """Something the user can put right.

    The message names what is wrong (file, row) and ends with the remedy. The command line
    prints it without a traceback and exits with status 2.
    """
