"""The register of commands: what one declares, and how it runs.

A command imports what it needs inside its function, so that ``--help`` and the light commands need
not wait for torch, and so that a stage's digest can be read off (``legor1.core.code_digest``).
"""

import errno
import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping

import rich_click as click
from rich.console import Console
from rich.text import Text

from legor1.cli.parameters import Artefact
from legor1.core import records
from legor1.core.errors import Stopped, UserError
from legor1.core.records import Role
from legor1.evaluation import suites

Facts = Mapping[str, object]
Command = Callable[..., Facts | None]
PANELS = ("Study", "Data", "Model", "Results")
INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended
FULL = (errno.ENOSPC, errno.EDQUOT)
STOPPED = os.EX_TEMPFAIL  # 75: not done, but nothing is wrong; run it again


class Commands(click.RichGroup):
    """The commands by panel, and there in the order in which they are declared."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        panels = {name: getattr(command, "panel", "") for name, command in self.commands.items()}
        return sorted(panels, key=lambda name: PANELS.index(panels[name]))


app = Commands(
    name="legor1",
    help="The commands of the LEGO-R1 study; `snakemake` runs those of a run in order.",
    epilog="`legor1 COMMAND --help` explains a command and gives an example.",
    context_settings={"show_default": True, "rich_help_config": {"commands_before_options": True}},
)
click.version_option(package_name="legor1", message="%(prog)s %(version)s")(app)


def command(panel: str, example: str, *parameters: click.Parameter) -> Callable[[Command], Command]:
    """Declare the function below as the command of its name.

    Its docstring is the command's help, with the ``example``, a command line without ``legor1``.
    The parameters are named as its arguments. The facts that it returns are printed on one line,
    and what it writes gets a record.
    """

    def declare(function: Command) -> Command:
        name = function.__name__.replace("_", "-")

        @functools.wraps(function)
        def run(**given: object) -> int:
            return _run(name, function, roles(parameters), given)

        app.add_command(
            click.RichCommand(
                name=name,
                callback=run,
                params=list(parameters),
                help=function.__doc__,
                epilog=f"Example: legor1 {example}",
                panel=panel,
            )
        )
        return function

    return declare


study_command, data_command, model_command, results_command = (
    functools.partial(command, panel) for panel in PANELS
)


def roles(parameters: Iterable[click.Parameter]) -> dict[str, Role]:
    """Return parameter → what the command does with its paths, of those that have a role."""
    typed = ((each.name or "", each.type) for each in parameters)
    return {name: kind.role for name, kind in typed if isinstance(kind, Artefact) and kind.role}


def _run(
    name: str, function: Command, roles: Mapping[str, Role], given: Mapping[str, object]
) -> int:
    """Call the function of a command and return the exit status: see ``legor1.cli.main``."""
    shown = f"legor1 {name}"
    try:
        with records.keeping(name, given, roles, suites.run_by(given)):
            facts = function(**given)
            if facts is not None:
                say(name, facts)
        sys.stdout.flush()
    except UserError as error:
        return complain(shown, str(error))
    except Stopped as stop:
        return complain(shown, str(stop), STOPPED)
    except OSError as error:
        if error.errno not in FULL:
            raise
        outputs = [given[parameter] for parameter, role in roles.items() if role.kind == "output"]
        # A failed write to an open file does not know its name.
        place = error.filename or next(filter(None, outputs), "the output")
        reason = os.strerror(error.errno)
        return complain(shown, f"{place} cannot be written: {reason}. Remedy: free some space.")
    except KeyboardInterrupt:
        return complain(shown, "interrupted", INTERRUPTED)
    return 0


def say(what: str, facts: Facts) -> None:
    """Print facts on one line."""
    shown = {k: f"{v:.3f}" if isinstance(v, float) else v for k, v in facts.items()}
    print(f"{what}: " + ", ".join(f"{name} {value}" for name, value in shown.items()))


def complain(name: str, message: str, status: int = 2) -> int:
    """Print a command's message to standard error, in colour on a terminal; return ``status``."""
    console = Console(stderr=True, highlight=False, emoji=False)
    console.print(Text.assemble((name, "bold red"), f": {message}"), soft_wrap=True)
    return status
