"""The command ``legor1``. The rules of the pipeline call nothing else."""

import sys
from collections.abc import Sequence

import rich_click as click

from legor1.cli import run_commands, stages  # noqa: F401  # they declare the commands
from legor1.cli.command import app, complain


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 2 for what the user can put right, 75 if it stopped gracefully."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        status: int = app.main(arguments or ["--help"], prog_name="legor1", standalone_mode=False)
        return status if arguments else 2
    except click.UsageError as error:
        name = error.ctx.command_path if error.ctx else "legor1"
        message = error.format_message().rstrip()
        if "Remedy: " not in message:
            message += f" Remedy: see `{name} --help`."
        return complain(name, message)


if __name__ == "__main__":
    sys.exit(main())
