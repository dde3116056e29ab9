import os

import pytest
from trees import check_schema

from legor1.core.errors import UserError
from legor1.core.files import read_json, sha256
from legor1.data import sources


def model(folder):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("a card")
    (folder / ".manifest.json").write_text("{}")
    return folder


def test_model_json_points_to_the_model_and_knows_its_files(tmp_path):
    folder, out = model(tmp_path / "shipped" / "tiny"), tmp_path / "results" / "base" / "model.json"
    sources.describe_model(folder, "owner/name", "abc", out)
    facts = read_json(out)
    check_schema("model", facts)
    assert (out.parent / facts["path"]).resolve() == folder.resolve()
    assert not facts["path"].startswith("/")
    assert (facts["source"], facts["revision"], facts["schema_version"]) == ("owner/name", "abc", 1)
    assert facts["files"] == {
        "config.json": sha256(folder / "config.json"),
        "model.safetensors": sha256(folder / "model.safetensors"),
    }


def test_of_a_downloaded_model_the_checked_hashes_are_taken_over(tmp_path):
    folder, out = model(tmp_path / "tiny"), tmp_path / "model.json"
    source = {"repo": "owner/name", "revision": "main", "commit": "c" * 40}
    entries = {
        name: {"size": 1, "sha256": "0" * 64} for name in ("config.json", "model.safetensors")
    }
    sources.describe_model(folder, "owner/name", "main", out, {"files": entries, "source": source})
    facts = read_json(out)
    check_schema("model", facts)
    assert facts["commit"] == "c" * 40
    assert set(facts["files"].values()) == {"0" * 64}


@pytest.mark.parametrize("lost", ["config.json", "model.safetensors"])
def test_half_a_model_is_refused(tmp_path, lost):
    folder = model(tmp_path / "tiny")
    (folder / lost).unlink()
    with pytest.raises(UserError, match=r"tiny holds no model.*Remedy: "):
        sources.describe_model(folder, "x", None, tmp_path / "model.json")
    assert not (tmp_path / "model.json").exists()


def tree(folder):
    (folder / "qwen_data").mkdir(parents=True)
    (folder / "qwen_data" / "object_qwen.jsonl").touch()
    return folder


def test_a_dataset_is_linked_and_the_link_renewed(tmp_path):
    out = tmp_path / "run" / "tree"
    for name in ("first", "second"):
        sources.link_dataset(tree(tmp_path / name), out)
        assert out.is_symlink()
        assert out.resolve() == (tmp_path / name).resolve()


def test_a_real_folder_is_not_replaced_by_a_link(tmp_path):
    out = tree(tmp_path / "drawn")
    with pytest.raises(UserError, match=r"drawn is a folder of its own.*Remedy: "):
        sources.link_dataset(tree(tmp_path / "mine"), out)
    assert (out / "qwen_data" / "object_qwen.jsonl").exists()


def test_a_folder_without_dialogues_is_no_dataset(tmp_path):
    with pytest.raises(UserError, match=r"no dataset tree.*Remedy: "):
        sources.link_dataset(tmp_path, tmp_path / "tree")


def test_sizes_are_of_names_and_sizes_and_of_no_times_or_hidden_files(tmp_path):
    (tmp_path / "a.png").write_bytes(b"abc")
    before = sources.sizes(tmp_path)
    os.utime(tmp_path / "a.png", (0, 0))
    (tmp_path / ".notes").write_text("x")
    assert sources.sizes(tmp_path) == before
    (tmp_path / "a.png").write_bytes(b"abcd")
    longer = sources.sizes(tmp_path)
    (tmp_path / "a.png").rename(tmp_path / "b.png")
    assert len({before, longer, sources.sizes(tmp_path)}) == 3
