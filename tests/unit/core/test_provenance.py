import getpass
import json
import platform
from pathlib import Path

from legor1.core import provenance


def test_it_names_versions_and_is_plain_json():
    facts = json.loads(json.dumps(provenance.collect()))
    assert facts["versions"]["numpy"].count(".") >= 1
    assert facts["python"] == platform.python_version()
    assert facts["cpus"] >= 1


def test_it_names_no_person_host_or_folder():
    text = json.dumps(provenance.collect())
    for private in (platform.node(), str(Path.home()), str(Path.cwd()), f'"{getpass.getuser()}"'):
        assert private not in text


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    facts = provenance.collect()
    assert (facts["commit"], facts["dirty"]) == (None, None)
