import shutil

import pytest
from clones import git


@pytest.fixture
def clone(origin, tmp_path, monkeypatch):
    """A fresh clone of ``origin``, with a remote of its own: the working directory."""
    git(tmp_path, "clone", "--quiet", str(origin), "clone")
    shutil.copytree(origin.parent / "legor1-published", tmp_path / "legor1-published")
    monkeypatch.chdir(tmp_path / "clone")
    return tmp_path / "clone"
