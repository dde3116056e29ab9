"""Hooks of MkDocs, which mkdocs.yml names: they build the site from the pages as GitHub shows them.

Some pages lie outside of ``docs``, and a fence may name the file that its text is for. Here every
page gets its place in the site, links follow, and the name of a file becomes the fence's title.
Badges become words, so that the site fetches nothing from elsewhere.
"""

import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PLACES = {  # of pages that are not simply below docs/
    "README.md": "index.md",
    "docs/README.md": "contents.md",
    "config/README.md": "configs.md",
    "results/README.md": "run_files.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
SOURCES = {place: source for source, place in PLACES.items()}
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"^```(\w+) +(\S+)$", re.MULTILINE)
BADGE = re.compile(r"!\[([^\]]+)\]\(https://img\.shields\.io/[^)]+\)")
LINK = re.compile(r'(\]\(|\b(?:src|srcset|href)=")(?!\w+:|#)([^)"#\s]+)')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside of ``docs``, and the files outside of it that a page links to."""
    for source, place in PLACES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    for path in sorted({path for page in files.documentation_pages() for path in _linked(page)}):
        if path not in PLACES and not path.startswith("docs/"):
            files.append(File.generated(config, place_of(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the page with its links as they lead in the site, and fences with titles."""
    here = posixpath.dirname(page.file.src_uri)

    def relink(link: re.Match[str]) -> str:
        target = place_of(_resolved(page.file, link[2]))
        return link[1] + posixpath.relpath(target, here or ".")

    return _apart(BADGE.sub(r"`\1`", markdown), relink)


def place_of(path: str) -> str:
    """Return where a file of the repository lies in the site."""
    if path in PLACES:
        return PLACES[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else f"files/{path}"


def _linked(file: File) -> Iterator[str]:
    prose = FENCE.sub("", file.content_string)
    return (_resolved(file, link[2]) for link in LINK.finditer(prose))


def _resolved(file: File, target: str) -> str:
    """Return the path in the repository that a link of a page leads to."""
    source = SOURCES.get(file.src_uri, f"docs/{file.src_uri}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), target))


def _apart(markdown: str, relink: Callable[[re.Match[str]], str]) -> str:
    """Return the text with its prose relinked and its fences titled."""
    parts = FENCE.split(markdown)
    parts[::2] = [LINK.sub(relink, prose) for prose in parts[::2]]
    parts[1::2] = [NAMED.sub(r'```\1 title="\2"', fence) for fence in parts[1::2]]
    return "".join(parts)
