"""Downloads from a hub on this machine that misbehaves: they recover, or stop and say why."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hub_server import Answer, Hub
from huggingface_hub.constants import DOWNLOAD_CHUNK_SIZE
from trees import check_schema

from legor1.core.errors import UserError
from legor1.core.files import read_json, sha256
from legor1.data.download import PAUSES, fetch
from legor1.data.sources import RECORD, manifest, visible

ROOT = Path(__file__).parents[3]
SMALL, LARGE = "qwen_data/object_qwen.jsonl", "lego/a/images/1.png"
WANTED = {
    SMALL: b"[]\n",
    "json_data/part/a.json": b'{"manual_id": "a"}',
    LARGE: bytes(range(256)) * 1200,
    "lego/a/images/2 \u00fc.png": b"small image",
}
OTHER = {"README.md": b"# A card", "lego/.DS_Store": b"junk", "docs/thesis.pdf": b"pdf"}
MODEL = {
    "config.json": b"{}",
    "model.safetensors": b"weights" * 1000,
    "README.md": b"a card",
    "original/params.json": b"{}",
}


@pytest.fixture
def hub(monkeypatch):
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    hub = Hub()
    hub.commit(WANTED | OTHER)
    yield hub
    hub.close()


@pytest.fixture(autouse=True)
def slept(monkeypatch):
    """Seconds that the hub's library would have slept."""
    seconds = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


@pytest.fixture
def get(hub, tmp_path, monkeypatch):
    """Fetch the dataset into ``get.folder``; ``get.waits`` are the seconds waited for the hub."""
    waits, folder = [], tmp_path / "resources" / "data"
    monkeypatch.setattr("legor1.data.download.sleep", waits.append)

    def get(revision="main", kind="dataset", repo="owner/data"):
        return fetch(kind, repo, revision, folder, endpoint=hub.address)

    get.waits, get.folder = waits, folder
    return get


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in visible(folder)}


def failure(get, **arguments) -> str:
    """Return the error of a fetch that must not leave a finished download."""
    with pytest.raises(UserError) as error:
        get(**arguments)
    assert not (get.folder / RECORD).exists()
    assert "Remedy: " in str(error.value)
    return str(error.value)


def test_only_what_is_needed_is_fetched_and_recorded(get, hub, capsys):
    record = get()
    assert contents(get.folder) == WANTED
    assert read_json(get.folder / RECORD) == record
    assert record["source"] == {
        "repo": "owner/data",
        "revision": "main",
        "commit": hub.branches["main"],
    }
    assert record["files"][LARGE] == {
        "size": len(WANTED[LARGE]),
        "sha256": sha256(get.folder / LARGE),
    }
    check_schema("manifest", record)
    assert manifest(get.folder) == record
    said = capsys.readouterr().err
    assert f"owner/data at {hub.branches['main']}: 4 of 4 files, 300.0 KiB of 300.0 KiB" in said


def test_listings_come_in_pages(get, hub):
    hub.page = 2
    get()
    assert contents(get.folder) == WANTED
    assert hub.count("GET", "cursor=") > 1


def test_what_is_there_is_not_fetched_again(get, hub):
    get()
    hub.requests.clear()
    get()
    assert hub.count("GET", "/resolve/") + hub.count("GET", "/cdn/") == 0


def test_a_pinned_commit_is_checked_without_asking_the_hub(get, hub):
    commit = hub.branches["main"]
    first = get(commit)
    hub.requests.clear()
    assert get(commit) == first
    assert not hub.requests
    (get.folder / LARGE).write_bytes(WANTED[LARGE][::-1])
    assert get(commit) == first
    assert contents(get.folder) == WANTED
    assert hub.count("GET", "/cdn/") == 1
    assert hub.count("GET", "/resolve/") == 0


def test_a_finished_download_serves_offline(get, hub, monkeypatch):
    first = get()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.requests.clear()
    for revision in ("main", first["source"]["commit"]):
        assert get(revision) == first
    (get.folder / SMALL).write_bytes(b"[[\n")
    with pytest.raises(UserError, match=r"object_qwen\.jsonl differs from the manifest.*Remedy: "):
        get()
    with pytest.raises(UserError, match=r"HF_HUB_OFFLINE is set.*at other.*Remedy: "):
        get("other")
    assert not hub.requests


def test_offline_an_unfinished_download_is_not_used(get, monkeypatch):
    (get.folder / "qwen_data").mkdir(parents=True)
    (get.folder / SMALL).write_bytes(WANTED[SMALL])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "holds no finished download" in failure(get)


def test_an_interrupted_download_goes_on(get, hub):
    hub.fail(503, "/cdn/", times=99)
    failure(get)
    kept = contents(get.folder)
    assert set(kept) == WANTED.keys() - {LARGE}
    hub._faults.clear()
    hub.requests.clear()
    get()
    assert contents(get.folder) == WANTED
    assert [one.path[:5] for one in hub.requests if one.method == "GET"][-1] == "/cdn/"
    assert hub.count("GET", "/resolve/") == 0


def cut(answer):
    return replace(answer, cut_after=len(answer.body) // 3)


def truncate(answer):
    return replace(answer, body=answer.body[:-1])


def corrupt(answer):
    return replace(answer, body=b"!" + answer.body[1:])


def test_a_connection_cut_in_the_middle_goes_on_from_there(get, hub):
    content = WANTED[LARGE] * 100
    hub.commit({SMALL: b"", LARGE: content})
    hub.spoil("GET", "/cdn/", lambda answer: replace(answer, cut_after=len(answer.body) // 2))
    get()
    assert contents(get.folder)[LARGE] == content
    ranges = [one.range for one in hub.requests if one.method == "GET" and "/cdn/" in one.path]
    assert ranges == [None, f"bytes={DOWNLOAD_CHUNK_SIZE}-"]


@pytest.mark.parametrize(
    ("method", "path", "change", "again"),
    [
        ("GET", "/cdn/", truncate, "/cdn/"),
        ("GET", "/cdn/", cut, "/cdn/"),
        ("GET", "/cdn/", corrupt, "/cdn/"),
        ("GET", "object_qwen", corrupt, "object_qwen"),
        ("GET", "object_qwen", truncate, "object_qwen"),
        ("GET", "object_qwen", cut, "object_qwen"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_bad_file_is_fetched_again(get, hub, method, path, change, again):
    hub.spoil(method, path, change)
    get()
    assert contents(get.folder) == WANTED
    assert hub.count("GET", again) == 2


def test_a_file_truncated_in_head_and_body_is_noticed_by_its_size(get, hub):
    hub.spoil("GET|HEAD", "object_qwen", truncate, times=2)
    get()
    assert contents(get.folder) == WANTED


@pytest.mark.parametrize(
    ("path", "name"), [("/revision/main", SMALL), ("/cdn/", LARGE), ("object_qwen", SMALL)]
)
@pytest.mark.parametrize("status", [500, 503])
def test_a_hub_in_trouble_is_given_time(get, hub, slept, path, name, status):
    hub.commit({name: WANTED[name]})  # another file that arrived meanwhile would renew the patience
    hub.fail(status, path, times=2, method="GET")
    get()
    assert contents(get.folder) == {name: WANTED[name]}
    assert get.waits == list(PAUSES[:2])


@pytest.mark.parametrize("path", ["/tree/", "/cdn/", "object_qwen"])
def test_too_many_requests_wait_as_long_as_the_hub_asks(get, hub, slept, path):
    hub.fail(429, path, method="GET", Retry_After="7")
    get()
    assert contents(get.folder) == WANTED
    assert 8.0 in slept  # the library adds one


def test_patience_is_renewed_while_files_arrive(get, hub):
    names = [f"lego/a/images/{number}_step.png" for number in range(12)]
    commit = hub.commit(dict.fromkeys(names, b"x") | WANTED)
    for times, name in enumerate(names):
        hub.fail(503, name, times, method="GET")
    assert get()["source"]["commit"] == commit
    assert len(get.waits) > len(PAUSES)


def test_a_branch_that_moves_meanwhile_does_not_mix_commits(get, hub):
    first = hub.branches["main"]

    def move(answer):
        hub.commit({SMALL: b"[1]\n", LARGE: WANTED[LARGE][::-1]})
        return answer

    hub.spoil("GET", "/tree/", move)
    assert get()["source"]["commit"] == first
    assert contents(get.folder) == WANTED


def test_a_branch_that_moved_since_is_followed_and_said(get, hub, capsys):
    first = get()["source"]["commit"]
    changed = {SMALL: b"[[]]\n", LARGE: WANTED[LARGE], "lego/b/images/1.png": b"new"}
    second = hub.commit(changed)
    hub.requests.clear()
    assert get()["source"]["commit"] == second
    assert contents(get.folder) == changed
    assert f"main was {first}, is now {second}" in capsys.readouterr().err
    assert hub.count("GET", "/cdn/") == 0


def test_a_strange_file_in_the_folder_is_neither_kept_silently_nor_removed(get):
    strange = get.folder / "qwen_data/state/mine.jsonl"
    strange.parent.mkdir(parents=True)
    strange.write_text("mine")
    assert "mine.jsonl is no file of that repository" in failure(get)
    assert strange.read_text() == "mine"


def test_a_link_out_of_the_folder_is_replaced_by_the_file(get, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(WANTED[SMALL])
    (get.folder / "qwen_data").mkdir(parents=True)
    (get.folder / SMALL).symlink_to(secret)
    get()
    assert not (get.folder / SMALL).is_symlink()
    assert secret.read_bytes() == WANTED[SMALL]


@pytest.mark.parametrize(
    ("path", "change", "said"),
    [
        ("/cdn/", corrupt, f"{LARGE} has another content"),
        ("object_qwen", corrupt, f"{SMALL} has another content"),
        ("object_qwen", truncate, f"{SMALL} has 2 bytes instead of 3"),
        ("/cdn/", truncate, "Consistency check failed"),
        ("/cdn/", lambda _: Answer(503), "503 Service Unavailable"),
        ("/tree/", lambda _: Answer(503), "503"),
        ("/cdn/", lambda _: Answer(429), "429"),
        ("/revision/", lambda _: Answer(429), "429"),
        ("/revision/", lambda _: Answer(body=b"<html>log in</html>"), "no proxy answers"),
        ("/tree/", lambda _: Answer(body=b'{"error": 1}'), "no proxy answers"),
        ("object_qwen", lambda _: Answer(body=b"<html>"), "no proxy answers"),
    ],
)
def test_what_does_not_pass_ends_with_an_error_and_no_bad_file(get, hub, path, change, said):
    hub.spoil("GET|HEAD", path, change, times=999)
    assert said in failure(get)
    there = contents(get.folder) if get.folder.exists() else {}
    assert there.items() <= WANTED.items()


@pytest.mark.parametrize(
    ("status", "path", "headers", "said"),
    [
        (404, "object_qwen", {"X_Error_Code": "EntryNotFound"}, "run again"),
        (404, "/resolve/", {"X_Error_Code": "RevisionNotFound"}, "that exists"),
        (403, "/resolve/", {"X_Error_Code": "GatedRepo"}, "set HF_TOKEN"),
        (401, "/resolve/", {"X_Error_Code": "GatedRepo"}, "set HF_TOKEN"),
        (403, "/tree/", {}, "set HF_TOKEN"),
        (401, "/tree/", {}, "set HF_TOKEN"),
    ],
)
def test_a_refusal_is_not_tried_again(get, hub, status, path, headers, said):
    hub.fail(status, path, times=999, **headers)
    message = failure(get)
    assert message.startswith("the dataset owner/data at main cannot be had: ")
    assert said in message
    assert not get.waits


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"repo": "owner/none"}, "check the name; if "),
        ({"revision": "v9"}, "name a commit, tag or branch that exists"),
        ({"revision": "0" * 40}, "name a commit, tag or branch that exists"),
        ({"repo": "a/b/c"}, "Repo id must"),
    ],
)
def test_what_does_not_exist(get, arguments, said):
    assert said in failure(get, **arguments)


def test_a_token_is_for_the_hub_alone(get, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    get()
    given = {one.token for one in hub.requests if "/cdn/" not in one.path}
    assert given == {"Bearer hf_secret"}
    assert {one.token for one in hub.requests if "/cdn/" in one.path} == {None}


def test_a_hub_out_of_reach(get, hub):
    hub.close()
    assert "snakemake fetch" in failure(get)
    assert get.waits == list(PAUSES)


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_nothing_outside_the_folder_is_asked_for(get, hub, kind):
    evil = ["../evil.json", "/etc/evil.json", "lego/../../evil.json", "lego/a/../../../evil.json"]
    files = WANTED | MODEL | dict.fromkeys(evil, b"evil")
    hub.listed[hub.commit(WANTED | MODEL)] = files
    get(kind=kind, repo="owner/data" if kind == "dataset" else "owner/model")
    assert not [one.path for one in hub.requests if "evil" in one.path]


def test_a_repository_of_something_else(get, hub):
    hub.commit(OTHER)
    assert "it has no file among json_data/**" in failure(get)


def test_a_folder_of_another_repository(get, hub):
    get()
    hub.repos.add(("dataset", "owner/other"))
    with pytest.raises(UserError, match="holds owner/data, not owner/other"):
        get(repo="owner/other")


def test_a_disk_that_fills_up(get, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.snapshot_download", full)
    assert "No space left" in (message := failure(get))
    assert "free space" in message


def test_of_a_model_only_its_own_files(get, hub):
    hub.commit(MODEL)
    get(kind="model", repo="owner/model")
    assert set(contents(get.folder)) == {"config.json", "model.safetensors"}


def run(hub, folder, *arguments, **environment):
    command = [sys.executable, "-m", "legor1.cli.main", *arguments]
    environment = os.environ | {"HF_ENDPOINT": hub.address, **environment}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_commands_from_download_to_manifest(hub, tmp_path):
    fetching = [
        "fetch",
        "dataset",
        "--repo",
        "owner/data",
        "--folder",
        "there",
        "--out",
        "run/tree",
    ]
    listing = ["manifest", "run/tree", "--out", "run/manifest.json"]
    for environment in ({}, {"HF_HUB_OFFLINE": "1"}):
        for arguments in (fetching, listing):
            done = run(hub, tmp_path, *arguments, **environment)
            assert done.returncode == 0, done.stderr
        listed = json.loads((tmp_path / "run/manifest.json").read_text())
        assert listed["source"]["commit"] == hub.branches["main"]
        assert set(listed["files"]) == set(WANTED)
        hub.close()


def test_the_command_for_a_model_names_its_commit(hub, tmp_path):
    commit = hub.commit(MODEL)
    fetching = [
        "fetch",
        "model",
        "--repo",
        "owner/model",
        "--folder",
        "there",
        "--out",
        "run/model.json",
    ]
    done = run(hub, tmp_path, *fetching)
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "run/model.json").read_text())
    check_schema("model", facts)
    assert (facts["revision"], facts["commit"]) == ("main", commit)
    assert set(facts["files"]) == {"config.json", "model.safetensors"}
    assert "Traceback" not in run(hub, tmp_path, *fetching, "--revision", "none").stderr
