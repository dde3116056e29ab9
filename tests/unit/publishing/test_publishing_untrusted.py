"""A published run that was tampered with: refused before anything of it is written."""

import hashlib
import json
from pathlib import Path

import pytest
import yaml
from clones import RUN, finish_run, publish_run, start

from legor1.core.errors import UserError
from legor1.publishing import dvc
from legor1.publishing.outputs import RECORDS, misplaced, published
from legor1.publishing.publish import publish, read_records, restore

pytestmark = pytest.mark.usefixtures("own_dvc")
POINTER = Path("published/tiny.dvc")
PLANTED = b"planted = True\n"
# From results/tiny/data/tree and from results/tiny/adapters/sft, as deep.
ELSEWHERE = [
    "../../../../workflow/planted.py",
    "../../../../../planted.py",
    "../../../../.git/hooks/post-checkout",
    "../table.csv",
    "/tmp/planted-by-a-test.py",
    "a/./b.py",
    "a//b.py",
    "",
    ".git/config",
    "a/.GIT/config",
    "a\\..\\b.py",
    "a\0b",
    "\udcff.png",
]


@pytest.fixture(scope="module")
def origin(tmp_path_factory, own_dvc):
    folder = tmp_path_factory.mktemp("origin") / "clone"
    start(folder)
    finish_run(folder)
    (folder / "workflow").mkdir()
    (folder / "workflow/code.py").write_text("honest = True\n")
    return publish_run(folder)


def add(content: bytes, suffix: str = "") -> str:
    """Put an object into the remote as DVC would; return its hash."""
    name = hashlib.md5(content).hexdigest() + suffix
    path = Path("../legor1-published/files/md5") / name[:2] / name[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(content)
    return name


def point(name: str, md5: str) -> None:
    """Have git's pointer give another hash for an output: all of an attack that a diff shows."""
    content = yaml.safe_load(POINTER.read_text())
    (out,) = [one for one in content["outs"] if one["path"] == name]
    out["md5"] = md5
    POINTER.write_text(yaml.safe_dump(content))


def list_more(name: str, *relpaths: str) -> None:
    """Add files to the published list of a folder."""
    md5 = published(RUN)[name]
    listed = json.loads((Path("../legor1-published/files/md5") / md5[:2] / md5[2:]).read_text())
    listed += [{"md5": add(PLANTED), "relpath": one} for one in relpaths]
    point(name, add(json.dumps(listed).encode(), ".dir"))


def tree(folder: Path) -> dict[str, bytes | str]:
    """Return all that is around the clone, but DVC's cache and its notes."""
    apart = (folder / ".dvc/cache", folder / ".dvc/tmp", folder / ".snakemake/dvc.lock")
    return {
        str(path): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in folder.parent.rglob("*")
        if (path.is_file() or path.is_symlink()) and not any(map(path.is_relative_to, apart))
    }


def refused(clone: Path, match: str) -> str:
    """Restore; return the error. Nothing has changed on disk."""
    before = tree(clone)
    with pytest.raises(UserError, match=match) as error:
        restore(RUN)
    assert tree(clone) == before
    assert "Remedy: " in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("folder", "relpath"),
    [
        ("data/tree", ELSEWHERE[0]),
        ("data/tree", ELSEWHERE[4]),
        ("adapters/sft", "../../../../workflow/code.py"),
    ],
)
def test_a_listed_file_elsewhere_is_not_restored(clone, folder, relpath):
    list_more(folder, relpath)
    said = refused(clone, "is no path of its own below results/tiny")
    assert str(POINTER) in said and relpath in said
    assert not Path("/tmp/planted-by-a-test.py").exists()


@pytest.mark.parametrize("relpath", ELSEWHERE)
def test_what_is_no_plain_path_is_misplaced(relpath):
    assert misplaced(["data/tree/b.py", f"data/tree/{relpath}"]) == f"data/tree/{relpath}"


@pytest.mark.parametrize(
    "paths",
    [("a/b", "a/B"), ("a", "a/b"), ("a/b", "A"), ("a/\u00e9", "a/e\u0301")],
)
def test_of_two_files_in_one_place_the_second_is_misplaced(paths):
    assert misplaced(paths) == paths[1]
    assert misplaced(["a/b", "a/c", "ab", "a.b/c"]) is None


def test_what_could_not_be_restored_is_not_published(tmp_path, monkeypatch):
    start(tmp_path)
    finish_run(tmp_path)
    monkeypatch.chdir(tmp_path)
    (RUN / "data/tree/.git").mkdir()
    (RUN / "data/tree/.git/config").touch()
    with pytest.raises(UserError, match=r"data/tree/\.git/config cannot be restored.*Remedy"):
        publish(RUN)
    assert not POINTER.exists()


@pytest.mark.parametrize(
    "listing",
    [
        b"{",
        b"[" * 100_000,
        b'{"a": {}}',
        b"[1]",
        b'[{"relpath": "a"}]',
        b'[{"relpath": "a", "md5": "../../../../../../etc/passwd"}]',
        b'[{"relpath": "a", "md5": 5}]',
        b'[{"relpath": ["a"], "md5": "%s"}]' % (b"0" * 32),
        b'[{"relpath": "a", "md5": "%s", "remote": "other"}]' % (b"0" * 32),
        b'[{"relpath": "a", "md5": "%s"}, {"relpath": "a", "md5": "%s"}]' % (b"0" * 32, b"1" * 32),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path, listing):
    path = tmp_path / "list"
    path.write_bytes(listing)
    with pytest.raises(UserError, match=r"list of the files in results/tiny/data/tree is damaged"):
        dvc._entries(path, RUN / "data/tree")


POINTED = {
    "wdir": "../results/tiny",
    "outs": [
        {"path": "table.csv", "md5": "0" * 32, "size": 1, "hash": "md5", "isexec": True},
        {"path": "snakemake.json", "md5": "1" * 32},
    ],
}


@pytest.fixture
def pointed(tmp_path, monkeypatch):
    """Return what reads a pointer of this content."""
    monkeypatch.chdir(tmp_path)
    POINTER.parent.mkdir()

    def read(content):
        POINTER.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return published(RUN)

    return read


def test_a_sound_pointer_is_read(pointed):
    assert pointed(POINTED) == {"table.csv": "0" * 32, "snakemake.json": "1" * 32}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"path": "../../workflow/code.py"}, "is no output"),
        ({"path": "/etc/passwd"}, "is no output"),
        ({"path": "work/job.json"}, "is no output"),
        ({"path": "adapters/../sft"}, "is no output"),
        ({"path": "data/tree/a"}, "is no output"),
        ({"path": ".git"}, "is no output"),
        ({"path": "snakemake.json"}, "stands there twice"),
        ({"path": 5}, r"\$\.outs\[0\]\.path: 5 is not of type 'string'"),
        ({"path": None}, "None is not of type 'string'"),
        ({"md5": "../../../x"}, "does not match"),
        ({"cache": False}, "'cache' was unexpected"),
        ({"files": []}, "'files' was unexpected"),
        ({"remote": "other"}, "'remote' was unexpected"),
    ],
)
def test_a_pointer_names_outputs_of_its_run_and_no_more(pointed, change, fault):
    outs = [POINTED["outs"][0] | change, *POINTED["outs"][1:]]
    with pytest.raises(UserError, match=rf"published/tiny\.dvc names no outputs.*{fault}.*Remedy"):
        pointed(POINTED | {"outs": outs})


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"wdir": "../workflow"}, r"wdir is \.\./workflow, not \.\./results/tiny"),
        ({"wdir": 5}, "5 is not of type 'string'"),
        ({"outs": []}, r"\$\.outs: "),
        ({"outs": {"path": "a"}}, "is not of type 'array'"),
        ({"cmd": "touch planted"}, "'cmd' was unexpected"),
        ({"deps": [{"path": "a"}]}, "'deps' was unexpected"),
    ],
)
def test_a_pointer_is_of_its_run_alone(pointed, change, fault):
    with pytest.raises(UserError, match=rf"published/tiny\.dvc names no outputs.*{fault}.*Remedy"):
        pointed(POINTED | change)


@pytest.mark.parametrize("text", ["", "5", "- a", "\0", "a: !!python/name:os.system", "[" * 5000])
def test_what_is_no_pointer_is_refused(pointed, text):
    with pytest.raises(UserError, match=r"published/tiny\.dvc names no outputs.*Remedy"):
        pointed(text)


def test_a_pointer_to_elsewhere_is_refused_before_anything_is_written(clone):
    POINTER.write_text(POINTER.read_text().replace("path: table.csv", "path: ../../planted"))
    refused(clone, "'../../planted' is no output")


def test_nothing_is_written_through_a_link_out_of_the_run(clone):
    (clone.parent / "elsewhere").mkdir()
    RUN.mkdir(parents=True)
    (RUN / "adapters").symlink_to(clone.parent / "elsewhere")
    refused(clone, r"results/tiny/adapters is a link to .*/elsewhere, outside")


def test_nothing_is_written_through_a_file_that_is_a_link(clone):
    RUN.mkdir(parents=True)
    (RUN / "table.csv").symlink_to(clone.parent / "not_there")
    refused(clone, r"results/tiny/table\.csv is a link to .*/not_there, outside")


def test_results_may_be_kept_on_another_disk(clone):
    (clone.parent / "disk").mkdir()
    Path("results").symlink_to(clone.parent / "disk")
    restore(RUN)
    assert (clone.parent / "disk/tiny/table.csv").exists()


RECORD = {"rule": "compile_table", "endtime": 5.0}


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        ({"../../../planted.json": RECORD}, "is none of its files"),
        ({"../../profiles/default/config.yaml": RECORD}, "is none of its files"),
        ({"results/tiny/../../planted": RECORD}, "is none of its files"),
        ({"results/tiny/data/tree/../../table.csv": RECORD}, "is none of its files"),
        ({"/etc/passwd": RECORD}, "is none of its files"),
        ({"results/other/table.csv": RECORD}, "is none of its files"),
        ({"results/tiny/work/job.json": RECORD}, "is none of its files"),
        ({"table.csv": RECORD}, "is none of its files"),
        ({"results/tiny/table.csv": RECORD | {"endtime": None}}, "ended at None"),
        ({"results/tiny/table.csv": RECORD | {"endtime": 1e300}}, "ended at 1e"),
        ({"results/tiny/table.csv": RECORD | {"endtime": float("nan")}}, "ended at nan"),
        (
            {"results/tiny/table.csv": RECORD | {"rule": ["a"]}},
            r"of results/tiny/table\.csv is none",
        ),
        ({"results/tiny/table.csv": "a"}, r"table\.csv is none of Snakemake's"),
        ([RECORD], "no table"),
    ],
)
def test_records_are_of_the_runs_own_files(tmp_path, record, fault):
    path = tmp_path / RECORDS
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=rf"snakemake\.json .*{fault}.*Remedy"):
        read_records(path, RUN, ["data/tree", "table.csv"])


def test_records_of_other_files_are_refused_before_anything_is_written(clone):
    point(RECORDS, add(json.dumps({"../../../planted.json": RECORD}).encode()))
    refused(clone, r"'\.\./\.\./\.\./planted\.json' is none of its files")
