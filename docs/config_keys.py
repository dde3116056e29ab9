"""Write docs/config.md, the tables of a config's keys, and its JSON schema, from the models."""

import json
from pathlib import Path

from legor1.config.models import Config

Schema = dict
Places = dict[str, dict[str, list[str]]]  # name of a block → its paths → methods that have it there
PAGE = Path(__file__).with_name("config.md")
SCHEMA = Path(__file__).parents[1] / "workflow/schemas/config.schema.json"
HEAD = """\
# The keys of a config

Written by `docs/config_keys.py` from the models in `workflow/legor1/config/`.
[config.yaml](../config.yaml) has every key with the full study's value, and
[config/README.md](../config/README.md) says how a file of yours changes it. A key without a default
has to be there. An editor that knows JSON Schema completes and checks a file whose first line is
`# yaml-language-server: $schema=` with the path of `workflow/schemas/config.schema.json`."""
BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "object": "keys and values",
    "null": "null",
}


def schema() -> Schema:
    """Return the JSON schema of a config, in which a key that may be left out has no default."""
    whole = Config.model_json_schema()
    for block in (whole, *whole["$defs"].values()):
        for of in block["properties"].values():
            nullable = any(member.get("type") == "null" for member in of.get("anyOf", ()))
            if "default" in of and of["default"] is None and not nullable:
                del of["default"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | whole


def page() -> str:
    """Return the text of the page."""
    whole = schema()
    places: Places = {}
    _place("", whole, whole["$defs"], places)
    tables = [_table("## The top", whole)]
    for name, paths in places.items():
        headings = [
            f"`{path}`"
            + (f" with `method: {methods[0]}`" if any(methods) and not methods[1:] else "")
            for path, methods in paths.items()
        ]
        tables.append(_table("## " + ", ".join(headings), whole["$defs"][name]))
    return "\n\n".join([HEAD, *tables]) + "\n"


def _place(
    path: str,
    block: Schema,
    known: dict[str, Schema],
    places: Places,
    method: str = "",
) -> None:
    """Add the paths of the blocks that are inside ``block`` to ``places``."""
    for name, of in block["properties"].items():
        for inner in _blocks(of):
            named = "patternProperties" in of or "additionalProperties" in of
            there = f"{path}{name}{'.<name>' if named else ''}"
            tag = known[inner]["properties"].get("method", {}).get("const", method)
            places.setdefault(inner, {}).setdefault(there, []).append(tag)
            _place(f"{there}.", known[inner], known, places, tag)


def _blocks(of: Schema) -> list[str]:
    """Return the names of the blocks that a value may be, or that it has by name."""
    inside = [*of.get("patternProperties", {}).values(), of.get("additionalProperties", {})]
    several = [
        member for each in (of, *inside) if isinstance(each, dict) for member in _members(each)
    ]
    return [member["$ref"].rpartition("/")[2] for member in several if "$ref" in member]


def _table(heading: str, block: Schema) -> str:
    lines = [heading, "", block["description"], "", "| key | value | default | meaning |"]
    lines.append("| --- | --- | --- | --- |")
    for name, of in block["properties"].items():
        absent = "" if name in block.get("required", ()) else "may be left out"
        default = f"`{json.dumps(of['default'])}`" if "default" in of else absent
        cells = (f"`{name}`", _value(of), default, of.get("description", ""))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _members(of: Schema) -> list[Schema]:
    """Return the alternatives of a value."""
    return of.get("anyOf") or of.get("oneOf") or [of]


def _value(of: Schema) -> str:
    """Return what a value may be, with its bounds."""
    if "$ref" in of:
        return "a block"
    if "anyOf" in of:
        return " or ".join(map(_value, of["anyOf"]))
    if "const" in of or "enum" in of:
        return ", ".join(f"`{choice}`" for choice in of.get("enum") or [of["const"]])
    if of["type"] == "array":
        return f"a list: {_value(of['items'])}"
    bounds = [f"{word} {of[bound]}" for bound, word in BOUNDS.items() if bound in of]
    blocks = "a block for each name" if _blocks(of) else TYPES[of["type"]]
    return ", ".join([blocks, *bounds])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    SCHEMA.write_text(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
