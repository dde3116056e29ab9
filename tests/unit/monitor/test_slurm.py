import asyncio
import logging
from types import SimpleNamespace

import pytest

from legor1.monitor import slurm


@pytest.fixture
def controller(tmp_path, monkeypatch):
    """Return a function that says what ``scontrol ping`` says."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def set_up(state):
        script = tmp_path / "scontrol"
        script.write_text(f'#!/bin/sh\necho "Slurmctld(primary) at host is {state}"\n')
        script.chmod(0o755)

    return set_up


def still_active(jobs):
    """Return the jobs that a plugin without an answer does not forget, and those it asked about."""
    asked = []

    class Executor:
        logger = logging.getLogger("test")

        async def check_active_jobs(self, active_jobs):
            asked.extend(active_jobs)
            for job in active_jobs[1:]:  # the first is done
                yield job

    async def collect():
        return [job async for job in Executor().check_active_jobs(jobs)]

    slurm.be_patient(SimpleNamespace(Executor=Executor))
    return asyncio.run(collect()), asked


def test_without_a_controller_no_job_is_asked_about_or_forgotten(controller):
    controller("DOWN")
    assert still_active([1, 2]) == ([1, 2], [])


def test_with_a_controller_the_plugin_decides(controller):
    controller("UP")
    assert still_active([1, 2]) == ([2], [1, 2])
