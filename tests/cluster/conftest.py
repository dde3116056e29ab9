"""A SLURM cluster on this machine, for as long as its tests take."""

import subprocess
from pathlib import Path

import pytest

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
