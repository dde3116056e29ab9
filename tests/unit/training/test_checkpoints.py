import json

import pytest

from legor1.training import work_folder


def checkpoint(work, step, *, whole=True):
    folder = work / f"checkpoint-{step}"
    (folder / "global_step").mkdir(parents=True)
    (folder / "weights").write_bytes(b"12345")
    (folder / "global_step/optimiser_0").write_bytes(b"678")
    if whole:
        work_folder.mark_whole(folder)
    return folder


def names(work):
    return sorted(path.name for path in work.iterdir())


def test_a_checkpoint_is_used_only_once_it_is_marked(tmp_path):
    assert work_folder.newest(tmp_path / "nowhere") is None
    checkpoint(tmp_path, 20, whole=False)
    assert work_folder.newest(tmp_path) is None
    nine, ten = checkpoint(tmp_path, 9), checkpoint(tmp_path, 10)
    assert work_folder.newest(tmp_path) == ten
    (ten / "weights").write_bytes(b"1234")  # cut off
    assert work_folder.newest(tmp_path) == nine
    (nine / "global_step/optimiser_0").unlink()
    assert work_folder.newest(tmp_path) is None


def test_the_marker_lists_what_there_is(tmp_path):
    marked = json.loads((checkpoint(tmp_path, 3) / work_folder.MARKER).read_text())
    assert marked == {
        "schema_version": 1,
        "step": 3,
        "files": {"weights": 5, "global_step/optimiser_0": 3},
    }


@pytest.mark.parametrize(
    "cut",
    ["", '{"schema_version": 1, "fi', "[]", '{"files": 5}', '{"files": {"\\u0000": 1}}', "{}"],
)
def test_a_marker_that_was_cut_off_marks_nothing(tmp_path, cut):
    (checkpoint(tmp_path, 3) / work_folder.MARKER).write_text(cut)
    assert work_folder.newest(tmp_path) is None


def test_others_can_read_the_weights_as_they_can_the_rest(tmp_path):
    folder = checkpoint(tmp_path, 3, whole=False)
    (folder / "adapter_model.safetensors").touch(mode=0o600)
    work_folder.mark_whole(folder)
    modes = {path.stat().st_mode for path in folder.rglob("*") if path.is_file()}
    assert len(modes) == 1


def test_only_the_newest_whole_one_is_kept(tmp_path):
    checkpoint(tmp_path, 2), checkpoint(tmp_path, 10), checkpoint(tmp_path, 12, whole=False)
    (tmp_path / "job.json").touch()
    work_folder.keep_newest(tmp_path)
    assert names(tmp_path) == ["checkpoint-10", "job.json"]


def test_the_last_whole_one_stays_until_the_next_is_whole(tmp_path):
    checkpoint(tmp_path, 2), checkpoint(tmp_path, 4, whole=False)
    work_folder.discard_incomplete(tmp_path)
    assert names(tmp_path) == ["checkpoint-2"]
    (tmp_path / "checkpoint-2" / work_folder.MARKER).unlink()
    checkpoint(tmp_path, 6, whole=False)
    work_folder.keep_newest(tmp_path)  # no whole one: nothing is taken for worthless
    assert names(tmp_path) == ["checkpoint-2", "checkpoint-6"]
