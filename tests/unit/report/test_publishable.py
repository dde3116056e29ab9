"""A report names no person, no machine and no secret, wherever they stand in what it is made of."""

import getpass
import json
import re
import socket
from pathlib import Path

import pytest
from report_run import EXPERIMENTS, conversation, row

from legor1.core.files import write_json, write_jsonl
from legor1.report import publishable as module
from legor1.report.page import render
from legor1.report.publishable import publishable

TOKEN = "hf_" + "aB3" * 11
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVm-nHl0_w"


@pytest.fixture
def machine(monkeypatch):
    """Be on the machine of a person whose names are known."""
    monkeypatch.setattr(Path, "home", lambda: Path("/srv/people/lovelace"))
    monkeypatch.setattr(socket, "gethostname", lambda: "gpu-node-17.uni.example")
    monkeypatch.setattr(getpass, "getuser", lambda: "lovelace")
    module._masks.cache_clear()
    yield
    module._masks.cache_clear()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"/home/ada/arta"', '"~/arta"'),
        ("file:///Users/ada/x", "file://~/x"),
        ("a:/gpfs/home/ada/x", "a:~/x"),
        (r"C:\\Users\\ada\\x", r"~\\x"),
        ("&#34;/home/ada&#34;", "&#34;~&#34;"),
        ("/root/.cache, /root", "~/.cache, ~"),
        ("rows.jsonl#/1/of ~1home~1ada~1x", "rows.jsonl#/1/of ~~1x"),
        ("/srv/people/lovelace/x", "~/x"),
        ("/scratch/lovelace/x", "/scratch/[user]/x"),
        ("ssh lovelace@gpu-node-17", "ssh [user]@[host]"),
        ("on gpu-node-17.uni.example:", "on [host]:"),
        (f"token {TOKEN}.", "token [secret]."),
        (f"token: {JWT}, key-{JWT}", "token: [secret], [secret]"),
        (f"v1.{JWT}\n({JWT}==)", "v1.[secret]\n([secret]==)"),
        ("HF_TOKEN=whatever x", "HF_TOKEN=[secret] x"),
        ("https://ada:pw@hub.example/x", "https://[secret]@hub.example/x"),
        ("a\x00b\x1bc\ud83dd", "a\ufffdb\ufffdc\ufffdd"),
    ],
)
def test_what_is_private_or_unwritable_is_masked(machine, text, said):
    assert publishable(text) == said


@pytest.mark.parametrize(
    "text",
    [
        "config.json#/dataset/home/x",
        "data/home/ada.json",
        "/rooted, /workers/x",
        "data:image/jpeg;base64,/home/abc+/9j/lovelace/4AAQ",
        "root mean square, max_tokens=5, few_shot",
        "Mr Lovelace\nand\this tab",
        "😀 \u202e",
    ],
)
def test_all_else_is_left_alone(machine, text):
    assert publishable(text) == text


def test_a_report_tells_nothing_of_who_made_it(machine, run):
    private = f"/home/ada/x lovelace@gpu-node-17 /scratch/lovelace/y {TOKEN} /srv/people/lovelace/z"
    label = json.dumps([{"bbox_2d": [1, 2, 30, 40], "label": private}])
    said = {"prediction": label, "completion": label, "reference": label, "image": private}
    for name in EXPERIMENTS:
        run.predict(name, row("object/of " + private, **said))
    asked = conversation("object/of " + private, prompt=private, image=private)
    write_jsonl(run.folder / "data/sound/plain/test.jsonl", [asked])
    write_jsonl(run.folder / "data/quarantine.jsonl", [{"reason": f"{private} is missing"}])
    write_json(run.folder / "base/model.json", {"source": private, "files": {private: "ab" * 32}})
    said = {"versions": {"torch": private}, "devices": [private], "settings": {"kind": private}}
    run.record("table.csv", "table", private, **said)
    experiments = EXPERIMENTS | {"sft": {"method": "sft", "deepspeed": private}}
    run.configure(experiments=experiments, run=private, report={"title": private, "gallery": 4})
    render(run.folder, run.folder / "report.html", run.folder / "tables")
    made = [run.folder / "report.html", *(run.folder / "tables").iterdir()]
    for text in (path.read_text(encoding="utf-8") for path in made):
        assert not re.findall(rf"\bada\b|lovelace|gpu-node|uni\.example|{TOKEN}", text)
    assert made[0].read_text().count("[secret]") >= 10
