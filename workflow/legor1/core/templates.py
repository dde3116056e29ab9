"""Texts for people that are no pages: the templates in ``workflow/templates``, filled in."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parents[2] / "templates"


def rendered(template: str, values: dict[str, object]) -> str:
    """Return a template with these values; nothing is escaped, undefined names are errors."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return made.get_template(template).render(values)
