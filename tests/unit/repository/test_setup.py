"""`envs/setup.sh`: one line before and one after; pip's words in a file, shown if it fails."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PIP = """\
#!/bin/sh
for n in $(seq 100); do echo "Collecting package-$n"; done
echo "pip: {last}" >&2
exit {status}
"""
LONE_PIP = """\
#!/bin/sh
mkdir busy || exit 1
sleep 0.5
rmdir busy
"""


@pytest.fixture
def begin(tmp_path):
    """Return a function that starts the script, with what stands for pip."""
    (tmp_path / "envs").mkdir()
    for name in ("envs/setup.sh", "envs/all.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)

    def begin(pip: str) -> subprocess.Popen:
        python.write_text(pip)
        python.chmod(0o755)
        return subprocess.Popen(
            [tmp_path / "envs/setup.sh"],
            env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


@pytest.fixture
def setup(begin):
    """Return a function that runs the script where pip ends with a status."""

    def run(status: int, last: str = "") -> subprocess.CompletedProcess:
        process = begin(PIP.format(status=status, last=last))
        stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    return run


def test_pip_is_quiet_and_its_words_are_kept(setup, tmp_path):
    done = setup(0, "done")
    assert done.returncode == 0, done.stderr
    before, after = done.stdout.splitlines()
    assert "about 5 minutes and 7 GB" in before and ".venv/setup.log" in before
    assert " packages, " in after and "min" in after
    assert done.stderr == ""
    assert (tmp_path / ".venv/setup.log").read_text().count("Collecting package-100\n") == 2
    assert setup(1).stdout == ""  # it is done once


def test_what_pip_complains_of_is_shown(setup, tmp_path):
    done = setup(1, "no matching distribution")
    assert done.returncode == 1
    shown = done.stderr.splitlines()
    assert "pip: no matching distribution" in shown
    assert "Collecting package-1" not in shown
    assert shown[-2].startswith("Error: pip failed") and ".venv/setup.log" in shown[-2]
    assert shown[-1].startswith("Remedy: ")
    assert not (tmp_path / ".venv/ready").exists()
    assert setup(0).returncode == 0


def test_two_at_once_do_not_break_each_other(begin):
    both = [begin(LONE_PIP), begin(LONE_PIP)]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted(out.count(" packages, ") for out, _ in said) == [0, 1]
