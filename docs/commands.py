"""Write docs/cli.md, the reference of all commands, from their declarations."""

from pathlib import Path

import rich_click as click

from legor1.cli.command import PANELS
from legor1.cli.main import app

PAGE = Path(__file__).with_name("cli.md")
HEAD = """\
# The commands

Written by `docs/commands.py` from the declarations in `workflow/legor1/cli/`. Snakemake runs the
stages in order; each can be run alone as well. `legor1 COMMAND --help` shows the same. A command
ends with status 0, with 2 if you can put the cause right (the message says how), or with 75 if it
stopped gracefully before its end: run it again.

The shell completes commands and options once it is told to, here bash (for others `zsh_source` or
`fish_source`):

```console
$ eval "$(_LEGOR1_COMPLETE=bash_source .venv/bin/legor1)"
```
"""


def page() -> str:
    """Return the text of the page."""
    blocks = [HEAD]
    for panel in PANELS:
        blocks.append(f"## {panel}\n")
        blocks += [described(c) for c in app.commands.values() if c.panel == panel]
    return "\n".join(blocks)


def described(command: click.RichCommand) -> str:
    """Return the section of a command."""
    context = click.Context(command, info_name=f"legor1 {command.name}", show_default=True)
    rows = "\n".join(row(parameter, context) for parameter in command.params)
    example = (command.epilog or "").removeprefix("Example: ")
    return (
        f"### {command.name}\n\n{command.help}\n\n```text\n{example}\n```\n\n"
        f"| parameter | value | meaning |\n| --- | --- | --- |\n{rows}\n"
    )


def row(parameter: click.Parameter, context: click.Context) -> str:
    """Return a parameter's row of the table."""
    name = (
        parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name
    )
    flag = isinstance(parameter, click.Option) and parameter.is_flag
    value = "" if flag else f"`{parameter.make_metavar(context)}`"
    notes = [getattr(parameter, "help", None) or ""]
    notes += ["required"] if parameter.required else []
    if not flag and isinstance(parameter.default, str | int | float):
        notes.append(f"default: {parameter.default}")
    cells = (f"`{name}`", value, "; ".join(filter(None, notes)))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
