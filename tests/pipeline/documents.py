"""The pages of the documentation: their commands, the files that they give, links and keys."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from study import ROOT

ELSEWHERE = ("README.md", "CONTRIBUTING.md", "config/README.md")
PAGES = [*ELSEWHERE, *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
SUFFIXES = {
    "csv",
    "html",
    "json",
    "jsonl",
    "local",
    "md",
    "parquet",
    "py",
    "smk",
    "toml",
    "txt",
    "yaml",
}
_BLOCK = re.compile(r"^```(\w*) *(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DOTTED = re.compile(r"`([a-z_]+(?:\.\w+)+)(?:: [^`]*)?`")


class Block(NamedTuple):
    """A fenced block; ``file`` is what it is to be written to, if it says so."""

    language: str
    file: str
    text: str


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    return [Block(*found.groups()) for found in _BLOCK.finditer(read(page))]


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Yield each command of a console block, and what the block says that it prints."""
    pieces = re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]
    for piece in pieces if block.language == "console" else ():
        line, _, printed = piece.partition("\n")
        yield re.sub(r"\s{2,}# .*", "", line).strip(), printed


def prose(page: str) -> str:
    return _BLOCK.sub("", read(page))


def links(page: str) -> list[str]:
    """Return the targets of a page's relative links."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [target for target in found if not re.match(r"\w+:", target)]


def anchors(path: Path) -> set[str]:
    """Return what a link may name in a page: its headings, as GitHub writes them."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dotted_keys(page: str) -> list[str]:
    """Return the config keys that a page names with their block, ``like.this``."""
    found = _DOTTED.findall(prose(page))
    return [key for key in found if key.rpartition(".")[2] not in SUFFIXES]


def printed_in_order(expected: str, output: str) -> str:
    """Return what of ``expected`` is not in ``output``: "..." stands for any lines."""
    rest = " ".join(output.split())
    for piece in re.split(r"^\.\.\.$", expected, flags=re.MULTILINE):
        wanted = " ".join(piece.split())
        _, found, rest = rest.partition(wanted) if wanted else ("", "any", rest)
        if not found:
            return wanted
    return ""
