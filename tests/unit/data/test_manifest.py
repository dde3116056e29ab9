"""Telling dataset trees apart."""

import hashlib

import pytest
from trees import check_schema

from legor1.core.errors import UserError
from legor1.core.files import read_json, write_json
from legor1.data.sources import RECORD, manifest, verify, write_manifest


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "tree"
    (root / "b").mkdir(parents=True)
    (root / "b/two").write_bytes(b"22")
    (root / "a").write_bytes(b"1")
    (root / ".cache").mkdir()
    (root / ".cache/note").write_text("when it was fetched")
    (root / ".hidden").write_text("too")
    return root


def test_a_manifest(root, tmp_path):
    expected = {
        "schema_version": 1,
        "files": {
            "a": {"size": 1, "sha256": hashlib.sha256(b"1").hexdigest()},
            "b/two": {"size": 2, "sha256": hashlib.sha256(b"22").hexdigest()},
        },
        "total_bytes": 3,
    }
    assert write_manifest(root, tmp_path / "manifest.json") == {"files": 2, "bytes": 3}
    read = read_json(tmp_path / "manifest.json")
    assert read == expected == manifest(root)
    assert list(read["files"]) == ["a", "b/two"]
    check_schema("manifest", read)


def test_the_first_file_that_differs_is_named(root):
    recorded = manifest(root)
    verify(root, recorded)
    (root / "b/two").write_bytes(b"23")
    with pytest.raises(UserError, match=r"b/two differs.*Remedy: "):
        verify(root, recorded)
    (root / "a").unlink()
    with pytest.raises(UserError, match=r"/a: file missing.*Remedy: "):
        verify(root, recorded)


def test_nothing_outside_is_read(root, tmp_path):
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(UserError, match="path leaves the tree"):
        verify(root, {"files": {"../secret": {"size": 6, "sha256": ""}}})
    (root / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="link: path leaves the tree"):
        manifest(root)


def test_a_downloaded_tree_names_its_source_and_must_be_unchanged(root, tmp_path):
    record = manifest(root) | {"source": {"repo": "o/n", "revision": "main", "commit": "c" * 40}}
    write_json(root / RECORD, record)
    write_manifest(root, tmp_path / "manifest.json")
    read = read_json(tmp_path / "manifest.json")
    check_schema("manifest", read)
    assert read == record
    (root / "extra").write_bytes(b"not downloaded")
    with pytest.raises(
        UserError, match=r"extra is not in the manifest.*Remedy: .*\.manifest\.json"
    ):
        manifest(root)
    (root / "extra").unlink()
    (root / "a").write_bytes(b"!")
    with pytest.raises(UserError, match="/a differs from the manifest"):
        manifest(root)


def test_an_empty_or_missing_folder_is_said(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match=r"is not a folder with files.*Remedy: "):
            manifest(folder)
