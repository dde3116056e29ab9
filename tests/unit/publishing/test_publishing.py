import fcntl
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from clones import CONTENT, RUN, commit, finish_run, git, objects, publish_run, start

from legor1.core.errors import UserError
from legor1.core.files import write_json
from legor1.publishing import dvc
from legor1.publishing.outputs import RECORDS, hashed, published
from legor1.publishing.publish import publish, restore

pytestmark = pytest.mark.usefixtures("own_dvc")
PICTURE = "data/tree/a/ö 1.png"


@pytest.fixture(scope="module")
def origin(tmp_path_factory, own_dvc):
    """A clone whose run is published, and the remote beside it; not to be changed."""
    folder = tmp_path_factory.mktemp("origin") / "clone"
    start(folder)
    finish_run(folder)
    return publish_run(folder)


@pytest.fixture(scope="module")
def restored_once(origin, tmp_path_factory):
    """A clone of ``origin`` with its run and its remote; not to be changed."""
    folder = tmp_path_factory.mktemp("restored")
    git(folder, "clone", "--quiet", str(origin), "clone")
    shutil.copytree(origin.parent / "legor1-published", folder / "legor1-published")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "clone")
        restore(RUN)
    return folder


@pytest.fixture
def restored(restored_once, tmp_path, monkeypatch):
    """A copy of that clone: the working directory."""
    shutil.copytree(restored_once, tmp_path / "restored", symlinks=True)
    monkeypatch.chdir(tmp_path / "restored/clone")


@pytest.fixture
def remote(clone):
    return clone.parent / "legor1-published"


def damage(remote: Path, text: str) -> Path:
    (path,) = objects(remote, text)
    path.chmod(0o644)
    path.write_text("damaged")
    return path


def test_git_gets_the_pointer_and_no_result(origin):
    assert set(git(origin, "ls-files").split()) == {
        ".dvc/.gitignore",
        ".dvc/config",
        ".gitignore",
        "published/tiny.dvc",
    }


def test_trees_and_adapters_are_one_output_each_and_checkpoints_none(origin):
    outs = yaml.safe_load((origin / "published/tiny.dvc").read_text())["outs"]
    assert {one["path"]: one.get("nfiles", 1) for one in outs} == {
        "adapters/sft": 2,
        "config.json": 1,
        "data/manifest.json": 1,
        "data/tree": 2,
        "report.html": 1,
        "snakemake.json": 1,
        "table.csv": 1,
    }
    assert not objects(origin.parent / "legor1-published", CONTENT["work/checkpoint/optimizer.pt"])


def test_our_hashes_are_dvcs(origin, monkeypatch):
    monkeypatch.chdir(origin)
    wanted = published(RUN)
    assert {name: one.md5 for name, one in hashed(RUN, wanted).items()} == wanted


def test_a_linked_tree_counts_by_its_content(origin, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/tree").symlink_to(origin / RUN / "data/tree")
    linked = hashed(tmp_path, ["data/tree"])["data/tree"]
    assert linked == hashed(origin / RUN, ["data/tree"])["data/tree"]
    assert linked.files.keys() == {"a.png", "a/ö 1.png"} and linked.size == 9 + 15


def test_publishing_again_changes_nothing(origin, monkeypatch):
    monkeypatch.chdir(origin)
    paths = [path for path in RUN.rglob("*") if path.name != RECORDS and path.is_file()]
    times = [path.stat().st_mtime_ns for path in paths]
    before = Path("published/tiny.dvc").read_bytes()
    publish(RUN)
    assert Path("published/tiny.dvc").read_bytes() == before
    assert [path.stat().st_mtime_ns for path in paths] == times


def test_publishing_goes_on_after_it_was_interrupted(restored):
    path = Path("published/tiny.dvc")
    before = path.read_text()
    path.write_text("".join(line for line in before.splitlines(True) if "md5" not in line))
    publish(RUN)
    assert path.read_text() == before


def test_a_restored_run_is_the_published_one_and_known_to_snakemake(origin, clone):
    restore(RUN)
    local = ("logs", "work")
    for name, text in CONTENT.items():
        path = RUN / name
        assert not path.exists() if name.startswith(local) else path.read_text() == text
    assert (RUN / "table.csv").stat().st_mtime == 1e9 + 0.5
    (record,) = Path(".snakemake/metadata").iterdir()
    assert Path(".snakemake/incomplete").is_dir()  # what Snakemake tells its present folder by
    assert record.name in [path.name for path in (origin / ".snakemake/metadata").iterdir()]
    assert '"compile_table"' in record.read_text()


def test_a_damaged_object_is_an_error_that_names_its_file(clone, remote):
    path = damage(remote, CONTENT[PICTURE])
    name = f"files/md5/{path.parent.name}/{path.name}"
    with pytest.raises(UserError, match=rf"{RUN}/{PICTURE} \({name}, .*\.dir\).*Remedy") as error:
        restore(RUN)
    assert "a.png" not in str(error.value)
    assert not RUN.exists()


def test_many_missing_objects_are_counted(clone, remote):
    shutil.rmtree(remote / "files")
    with pytest.raises(UserError, match=r"results/tiny/adapters/sft \(.* and 4 more\. Remedy"):
        restore(RUN)


@pytest.mark.slow
def test_a_damaged_object_that_was_published_again_can_be_restored(origin, clone, remote):
    damage(remote, CONTENT[PICTURE])
    with pytest.raises(UserError) as error:
        restore(RUN)
    for name in re.findall(r"files/md5/[\w./]+", str(error.value)):
        (remote / name).unlink(missing_ok=True)
    shutil.copytree(origin, clone.parent / "other")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(clone.parent / "other")
        publish(RUN)
    restore(RUN)
    assert (RUN / PICTURE).read_text() == CONTENT[PICTURE]


def test_restoring_says_what_else_is_needed_to_go_on(clone, capsys):
    (RUN / "base").mkdir(parents=True)
    (RUN / "base/model.json").write_text('{"path": "../../../resources/models/qwen"}')
    restore(RUN)
    assert f"snakemake --force {RUN}/base/model.json" in capsys.readouterr().err


def test_results_that_are_not_the_published_ones_are_kept(clone):
    (RUN).mkdir(parents=True)
    (RUN / "table.csv").write_text("mine")
    with pytest.raises(UserError, match=r"table\.csv.*Remedy: they are not as they were published"):
        restore(RUN)
    assert (RUN / "table.csv").read_text() == "mine"


def test_a_file_that_is_not_what_was_published_is_named(restored):
    (RUN / PICTURE).write_text("something else")
    with pytest.raises(UserError, match=rf"{RUN}/{PICTURE} is not what was published\. Remedy"):
        dvc.verify(RUN, published(RUN))
    (RUN / "table.csv").unlink()
    with pytest.raises(UserError, match=r"table\.csv is not what was published\. Remedy"):
        dvc.verify(RUN, {"table.csv": published(RUN)["table.csv"]})


def test_without_a_remote_the_error_says_how_to_name_one(clone):
    config = Path(".dvc/config")
    config.write_text(config.read_text().replace("remote = folder", ""))
    with pytest.raises(UserError, match=r"No default remote set.*Remedy: name one: dvc remote add"):
        restore(RUN)


def test_outside_of_a_clone_the_error_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finish_run(tmp_path)
    with pytest.raises(UserError, match="Remedy: work in a git clone of this project"):
        publish(RUN)


def test_an_unpublished_run_cannot_be_restored(clone):
    with pytest.raises(UserError, match=r"published/other\.dvc does not exist.*Remedy"):
        restore(Path("results/other"))


def test_a_damaged_pointer_is_named(clone):
    Path("published/tiny.dvc").write_text("outs:\n- path: table.csv\n")
    with pytest.raises(UserError, match=r"published/tiny\.dvc names no outputs.*md5.*Remedy"):
        restore(RUN)


def test_an_unfinished_run_is_not_published(clone):
    with pytest.raises(UserError, match=r"config\.json does not exist.*Remedy: run the pipeline"):
        publish(Path("results/other"))


def test_a_run_that_snakemake_does_not_know_is_not_published(restored):
    shutil.rmtree(".snakemake/metadata")
    with pytest.raises(UserError, match=r"no record of any file in results/tiny.*Remedy"):
        publish(RUN)


def test_of_two_at_once_each_waits_for_its_turn(restored):
    commands = [
        [sys.executable, "-m", "legor1.cli.main", word, str(RUN)] for word in ("publish", "restore")
    ]
    with dvc.LOCK.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        running = [subprocess.Popen(one, stderr=subprocess.PIPE, text=True) for one in commands]
        assert [one.stderr.readline() for one in running] == [
            "dvc: waiting for another process of this clone\n"
        ] * 2
    assert [one.wait() for one in running] == [0, 0], [one.stderr.read() for one in running]


def test_dvc_shows_scores_and_how_they_differ_from_those_published_before(clone):
    restore(RUN)
    path = RUN / "scores/sft/sound/scores.json"
    for value in (0.5, 0.75):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"tasks": {"state": {"f1_state": value}}})
        publish(RUN)
        commit(clone)
    name = "tasks.state.f1_state"
    assert f"{name}\n{path}  0.75" in dvc.dvc("metrics", "show", str(path)).replace(" \n", "\n")
    told = dvc.dvc("metrics", "diff", "HEAD~1", "--json", "--targets", str(path))
    assert json.loads(told)[str(path)][name] == {"old": 0.5, "new": 0.75, "diff": 0.25}
