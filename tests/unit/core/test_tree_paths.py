"""Opening files of an untrusted tree: by path components, links and kinds of file."""

import os
from pathlib import Path

import pytest

from legor1.core.files import LEAVES, MISSING, Rejected, Tree


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/file").write_text("inside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("outside")
    return Tree(root)


def content(tree, relative):
    descriptor, length = tree.open(relative)
    try:
        return os.read(descriptor, length).decode()
    finally:
        os.close(descriptor)


def test_a_file_is_opened_with_its_size(tree):
    assert content(tree, "a/b/file") == content(tree, "a/../a/b/file") == "inside"


def test_links_within_the_tree_are_followed(tree):
    (tree.root / "a/link").symlink_to("b/file")
    (tree.root / "folder").symlink_to("a/b")
    assert content(tree, "a/link") == content(tree, "folder/file") == "inside"


@pytest.mark.parametrize("path", ["../outside/file", "folder/file", "a/link", "a/b/../../../x"])
def test_nothing_outside_is_opened(tree, tmp_path, path):
    (tree.root / "folder").symlink_to(tmp_path / "outside")
    (tree.root / "a/link").symlink_to(tmp_path / "outside/file")
    with pytest.raises(Rejected, match=LEAVES):
        tree.open(path)


def test_an_absolute_path_is_outside(tree, tmp_path):
    with pytest.raises(Rejected, match=LEAVES):
        tree.open(str(tmp_path / "outside/file"))


@pytest.mark.parametrize(
    "path",
    ["a/b/none", "none/file", "a/b", "a/b/", "a/b/..", "a/b/file/x", "", "circle", "pipe",
     "a/\0", "a/\ud800", "\0/a", "a/" + "x" * 300, "x" * 300 + "/a"],
)  # fmt: skip
def test_what_is_no_file_is_missing(tree, path):
    (tree.root / "circle").symlink_to("circle")
    os.mkfifo(tree.root / "pipe")
    with pytest.raises(Rejected, match=MISSING):
        tree.open(path)


def test_no_descriptor_is_left_open(tree):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("a/b", "a/b/none", "../outside/file"):
        with pytest.raises(Rejected):
            tree.open(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
