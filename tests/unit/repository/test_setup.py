"""Setting up says which interpreters it cannot use, before it installs anything."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# An interpreter that says that it is another version.
POSING = """#!/bin/sh
if [ "$1" = --version ]; then echo "Python {version}.0"; exit; fi
exec {python} -c 'import sys; sys.version_info = tuple(map(int, "{version}".split(".")))
exec(sys.argv[1])' "$2"
"""


@pytest.mark.parametrize(
    ("version", "said"),
    [("3.10", "Python 3.10.0 is too old"), ("3.14", "Python 3.14.0 is too new")],
)
def test_an_interpreter_that_the_pins_are_not_for_is_refused(tmp_path, version, said):
    for name in ("envs/setup.sh", "envs/all.txt", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / "posing"
    python.write_text(POSING.format(version=version, python=sys.executable))
    python.chmod(0o755)
    done = subprocess.run(
        [tmp_path / "envs/setup.sh"],
        env={**os.environ, "PYTHON": str(python)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and said in done.stderr
    assert "Remedy: install Python 3.11, 3.12 or 3.13" in done.stderr
    assert not (tmp_path / ".venv").exists()
