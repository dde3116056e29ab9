"""A SLURM cluster on this machine, and studies that are run on it as a site would."""

import subprocess
from pathlib import Path

import pytest
from site_study import SiteStudy

SCRIPT = Path(__file__).with_name("slurm.sh")


@pytest.fixture(scope="session")
def slurm():
    """Start the cluster, yield a function that runs `slurm.sh` with another command, stop it."""

    def run(command: str) -> None:
        # Its daemons keep standard output open, so it is not piped.
        subprocess.run([SCRIPT, command], check=True, timeout=300)

    run("start")
    yield run
    run("stop")


@pytest.fixture
def study(slurm, tmp_path):
    """Return a smoke study in a folder of its own."""
    return SiteStudy(tmp_path / "study", "smoke", with_base=True)
