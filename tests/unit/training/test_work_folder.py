import os
import subprocess
import sys

import pytest
from test_checkpoints import checkpoint

from legor1.core.errors import UserError
from legor1.training import launch, work_folder


def test_an_attempt_that_made_no_progress_ends_the_tries(tmp_path):
    work_folder.begin(tmp_path, 1)
    checkpoint(tmp_path, 3)
    work_folder.note_failure(tmp_path)
    work_folder.begin(tmp_path, 2)  # the first came from 0 to 3
    work_folder.note_failure(tmp_path)
    for attempt in (3, 4):
        with pytest.raises(UserError) as failed:
            work_folder.begin(tmp_path, attempt, tmp_path / "sft.log")
        said = str(failed.value)
        assert said.startswith(f"attempt {attempt} is at step 3, where attempt 2 began")
        assert str(tmp_path) in said
        assert f"is in {tmp_path}/sft.log" in said
        assert "Remedy: " in said
    work_folder.begin(tmp_path, 1)  # a run by hand begins anew
    work_folder.note_failure(tmp_path)
    with pytest.raises(UserError):
        work_folder.begin(tmp_path, 2)
    checkpoint(tmp_path, 4)
    work_folder.begin(tmp_path, 2)


def test_a_first_attempt_that_saved_nothing_ends_the_tries(tmp_path):
    work_folder.begin(tmp_path, 1)
    work_folder.note_failure(tmp_path)
    checkpoint(tmp_path, 3, whole=False)
    with pytest.raises(UserError, match="attempt 2 is at step 0"):
        work_folder.begin(tmp_path, 2)


def test_an_attempt_that_was_killed_is_tried_again(tmp_path):
    work_folder.begin(tmp_path, 1)
    work_folder.begin(tmp_path, 2)  # with more memory, or on another node


def test_a_new_folder_is_no_failure_of_the_attempt_before(tmp_path):
    work_folder.begin(tmp_path, 2)


def test_beginning_clears_away_what_is_left_over(tmp_path):
    checkpoint(tmp_path, 3, whole=False)
    (tmp_path / work_folder.REQUEST).touch()
    work_folder.note_stop(tmp_path, 3, 9, "for a test")
    assert (tmp_path / work_folder.REQUEST).exists()
    assert work_folder.stop_noted(tmp_path)["step"] == 3
    work_folder.begin(tmp_path, 1)
    assert not (tmp_path / work_folder.REQUEST).exists()
    assert work_folder.stop_noted(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["attempt.json"]


def test_two_trainings_do_not_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(work_folder, "SECONDS_TO_LEAVE", 0.5)
    launcher, process = work_folder.enter(tmp_path), work_folder.join(tmp_path)
    for held in (launcher, process):
        with pytest.raises(UserError, match="another training is at work in"):
            work_folder.enter(tmp_path)
        held.close()
    holder = (
        "import sys; from pathlib import Path; from legor1.training import work_folder as work;"
    )
    holder += "lock = work.join(Path(sys.argv[1])); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as left_over:
        assert left_over.stdout.readline()
        with pytest.raises(UserError, match="another training is at work in"):
            work_folder.enter(tmp_path)
        left_over.kill()
    work_folder.enter(tmp_path).close()


@pytest.mark.parametrize("gone", ["before", "later"])
def test_a_process_ends_with_its_launcher_though_nobody_reads_its_words(gone):
    launcher = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    if gone == "before":
        launcher.kill()
        launcher.wait()
    command = "from legor1.training import work_folder as work; work.end_with_launcher();"
    command += " print(1, flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{command}; import time; time.sleep(600)"],
        env=os.environ | {work_folder.LAUNCHER: str(launcher.pid)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stderr.close()
    assert gone == "before" or process.stdout.readline()
    launcher.kill()
    launcher.wait()
    assert process.wait(240) == 1


def test_memory_of_a_gpu_is_not_cut_into_blocks_unless_the_user_says_how(monkeypatch):
    monkeypatch.delenv(launch.ALLOCATOR, raising=False)
    found = launch.environment({"device": "cuda"})
    assert found["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
    assert launch.ALLOCATOR not in launch.environment({"device": "cpu", "threads": 1})
    monkeypatch.setenv(launch.ALLOCATOR, "max_split_size_mb:128")
    assert launch.environment({"device": "cuda"})["PYTORCH_ALLOC_CONF"] == "max_split_size_mb:128"
