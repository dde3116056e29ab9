import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from legor1.core.errors import UserError
from legor1.core.files import (
    atomic,
    atomic_folder,
    is_plain,
    read_json,
    read_jsonl,
    share,
    write_json,
    write_jsonl,
    write_text,
)

HANGING = """
import pathlib, sys, time
from legor1.core import files
with getattr(files, sys.argv[1])(pathlib.Path(sys.argv[2])) as temporary:
    print(temporary, flush=True)
    time.sleep(600)
"""


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_folder_leaves_the_old_one_and_no_rubbish(tmp_path):
    path = tmp_path / "a"
    with atomic_folder(path) as temporary:
        (temporary / "b").mkdir()
        (temporary / "b" / "old").touch()
    with pytest.raises(RuntimeError), atomic_folder(path) as temporary:
        (temporary / "half").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == [path]
    assert list(path.rglob("*")) == [path / "b", path / "b/old"]
    with atomic_folder(path) as temporary:
        (temporary / "new").touch()
    assert list(tmp_path.iterdir()) == [path]
    assert list(path.iterdir()) == [path / "new"]


@pytest.mark.parametrize("writing", [atomic, atomic_folder])
def test_what_killed_processes_left_is_swept_and_what_is_held_is_not(tmp_path, writing):
    path = tmp_path / "a.txt"
    writer = subprocess.Popen(
        [sys.executable, "-c", HANGING, writing.__name__, str(path)], stdout=subprocess.PIPE
    )
    held = Path(writer.stdout.readline().decode().strip())
    os.utime(held, (0, 0))  # a second has passed
    others = [
        tmp_path / name for name in (".a.txt.notes", ".ab.txt.12345678.txt", "a.txt.12345678")
    ]
    for other in others:
        other.touch()

    def write():
        with writing(path) as temporary:
            os.utime(temporary)

    write()
    assert held.exists()
    writer.kill()
    writer.wait()
    write()
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])


def test_rows_come_back_as_they_were(tmp_path):
    rows = [{"text": "é\u2028 \u0085'\"\n", "value": 0.1}, {"text": "", "value": -1}]
    assert write_jsonl(tmp_path / "rows.jsonl", rows) == 2
    assert read_jsonl(tmp_path / "rows.jsonl", ["text"]) == rows


@pytest.mark.parametrize("line", ["{", "[]", '"text"', '{"other": 1}'])
def test_a_bad_row_is_named_with_its_line(tmp_path, line):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": 1}\n\n' + line + "\n")
    with pytest.raises(UserError, match=r"line 3.*Remedy"):
        read_jsonl(path, ["text"])


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"value": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"a\.json does not exist"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text(json.dumps({})[:1])
    with pytest.raises(UserError, match="cannot be read as JSON"):
        read_json(tmp_path / "a.json")


@pytest.fixture(params=[0o077, 0o022, 0o002], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_files_have_the_modes_that_the_umask_gives(tmp_path, umask):
    write_text(tmp_path / "file", "text")
    with atomic_folder(tmp_path / "folder") as folder:
        save_file({"a": np.zeros(1)}, folder / "weights.safetensors")
        share(folder)
        (folder / "other").touch()
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    of_a_file = 0o666 & ~umask
    assert modes == {
        "file": of_a_file,
        "folder": 0o777 & ~umask,
        "weights.safetensors": of_a_file,
        "other": of_a_file,
    }


@pytest.mark.parametrize("name", ["a", "a/b.c", "..a/b..", " ", "\u00f6 1.png", "a/.gitignore"])
def test_a_plain_path_leads_down(name):
    assert is_plain(name)


@pytest.mark.parametrize(
    "name",
    ["", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a\\b", "a\0", "\ud800"],
)
def test_any_other_path_is_not_plain(name):
    assert not is_plain(name)


@pytest.mark.parametrize("name", [".git/a", "a/.Git", None, 5, b"a"])
def test_neither_is_a_folder_of_git_or_what_is_no_text(name):
    assert not is_plain(name)
