"""Opening files of an untrusted tree: by path components, links and kinds of file."""

import os
from pathlib import Path

import pytest

from legor1.core.files import LEAVES, MISSING, Rejected, open_below


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/file").write_text("inside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("outside")
    return root


def content(tree, relative):
    with open_below(tree, relative) as file:
        return file.read().decode()


def test_a_file_is_opened(tree):
    assert content(tree, "a/b/file") == content(tree, "a/../a/b/file") == "inside"


def test_links_within_the_tree_are_followed(tree):
    (tree / "a/link").symlink_to("b/file")
    (tree / "folder").symlink_to("a/b")
    assert content(tree, "a/link") == content(tree, "folder/file") == "inside"


@pytest.mark.parametrize("path", ["../outside/file", "folder/file", "a/link", "a/b/../../../x"])
def test_nothing_outside_is_opened(tree, tmp_path, path):
    (tree / "folder").symlink_to(tmp_path / "outside")
    (tree / "a/link").symlink_to(tmp_path / "outside/file")
    with pytest.raises(Rejected, match=LEAVES):
        open_below(tree, path)


def test_an_absolute_path_is_outside(tree, tmp_path):
    with pytest.raises(Rejected, match=LEAVES):
        open_below(tree, str(tmp_path / "outside/file"))


@pytest.mark.parametrize(
    "path",
    ["a/b/none", "none/file", "a/b", "a/b/", "a/b/..", "a/b/file/x", "", "circle", "pipe",
     "a/\0", "a/\ud800", "\0/a", "a/" + "x" * 300, "x" * 300 + "/a"],
)  # fmt: skip
def test_what_is_no_file_is_missing(tree, path):
    (tree / "circle").symlink_to("circle")
    os.mkfifo(tree / "pipe")
    with pytest.raises(Rejected, match=MISSING):
        open_below(tree, path)


def test_no_descriptor_is_left_open(tree):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("a/b", "a/b/none", "../outside/file"):
        with pytest.raises(Rejected):
            open_below(tree, path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
