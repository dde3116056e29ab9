"""The documentation builds as a site, whose links lead somewhere and which fetches nothing."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FETCHED = {"img": "src", "script": "src", "source": "srcset", "iframe": "src"}


class Addresses(HTMLParser):
    """What a page links to, and what it fetches by itself."""

    def __init__(self, page: Path):
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag == "link" and values.get("rel") != "canonical":
            self.fetched.append(values["href"])
        if tag in FETCHED and values.get(FETCHED[tag]):
            self.fetched.append(values[FETCHED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built strictly: any warning fails."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", folder]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {path: Addresses(path) for path in folder.glob("*.html")}, folder


def test_every_page_is_there(site):
    pages, folder = site
    names = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"README"}
    elsewhere = {"index", "contents", "contributing", "changelog", "configs", "run_files"}
    assert {path.stem for path in pages} == names | elsewhere | {"404"}
    assert "Quickstart" in (folder / "index.html").read_text(encoding="utf-8")


def test_every_link_leads_to_a_file_of_the_site(site):
    pages, folder = site
    followed = 0
    for page, addresses in pages.items():
        for link in [*addresses.links, *addresses.fetched]:
            path = unquote(link).partition("#")[0].partition("?")[0]
            if page.stem != "404" and path and not re.match(r"[\w+]+:|/", path):
                assert (folder / path).exists(), f"{page.name}: {link}"
                followed += 1
    assert followed > 500


def test_nothing_is_fetched_from_elsewhere(site):
    for page, addresses in site[0].items():
        assert addresses.fetched
        remote = [address for address in addresses.fetched if re.match(r"\w+:|//", address)]
        assert not remote, page.name
    assert "<code>Licence: Apache-2.0</code>" in (site[1] / "index.html").read_text()


def test_the_site_follows_light_and_dark():
    class Loader(yaml.SafeLoader):
        """Passes over the one Python name in the file."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    config = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)
    assert config["strict"] is True and config["theme"]["font"] is False
    schemes = {palette.get("scheme") for palette in config["theme"]["palette"]}
    assert schemes == {None, "default", "slate"}


def test_a_files_name_becomes_the_title_of_its_fence(site):
    html = (site[1] / "usage.html").read_text(encoding="utf-8")
    assert '<span class="filename">mine.yaml</span>' in html
