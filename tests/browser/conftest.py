"""A headless Chromium, the pages that are opened in it, and a folder for their pictures."""

import subprocess
from pathlib import Path

import hostile
import pytest
import whole_study
from visits import Visits

HERE = Path(__file__).parent
PICTURES = HERE / "screenshots"


TAKEN = pytest.StashKey[bool]()


def pytest_terminal_summary(terminalreporter, config):
    if config.stash.get(TAKEN, False):
        terminalreporter.write_line(f"Pictures of the report: {PICTURES}")


@pytest.fixture(scope="session")
def chromium():
    """Yield a Chromium that Playwright drives; its own browsers are not downloaded."""
    from playwright.sync_api import sync_playwright

    found = subprocess.run([HERE / "chromium.sh"], stdout=subprocess.PIPE, text=True)
    if found.returncode:
        pytest.fail("there is no browser to test with; the remedy is above", pytrace=False)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found.stdout.strip())
        yield browser
        browser.close()


@pytest.fixture
def visits(chromium):
    """Yield what opens pages, and closes them after the test."""
    opened = Visits(chromium)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """Return the pages of a study that says nothing odd, by their names."""
    pages = whole_study.write(tmp_path_factory.mktemp("plain"), "plain words")
    return {page.name: page for page in pages}


@pytest.fixture(scope="session")
def odd(tmp_path_factory):
    """Return the pages of a study that says everything hostile at once, by their names."""
    said = " ".join(hostile.WORDS.values()).replace("URL", "http://127.0.0.1:9")
    pages = whole_study.write(tmp_path_factory.mktemp("odd"), said)
    return {page.name: page for page in pages}


@pytest.fixture(scope="session")
def pictures(pytestconfig):
    """Return an empty folder for pictures, which stays after the tests."""
    pytestconfig.stash[TAKEN] = True
    PICTURES.mkdir(exist_ok=True)
    for old in PICTURES.iterdir():
        old.unlink()
    return PICTURES
