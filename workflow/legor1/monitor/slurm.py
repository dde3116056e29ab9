"""Patience with SLURM's controller: what Snakemake's plugin lacks, as of 2.8.0.

The plugin asks the controller what became of its jobs. If that is restarting, the plugin takes the
missing answer for one: it forgets the jobs, and Snakemake waits forever.
"""

import subprocess
from collections.abc import AsyncIterator, Callable
from typing import Any

SECONDS = 60  # that the controller has to answer


def answers() -> bool:
    """Return whether a controller of the cluster answers."""
    ping = ["scontrol", "ping"]
    try:
        run = subprocess.run(ping, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return " is UP" in run.stdout


def be_patient(plugin: Any) -> None:
    """Have ``plugin``, the module, leave its jobs alone for as long as no controller answers."""
    check: Callable[..., AsyncIterator[object]] = plugin.Executor.check_active_jobs

    async def check_active_jobs(executor: Any, active_jobs: list[object]) -> AsyncIterator[object]:
        if active_jobs and not answers():
            executor.logger.info("SLURM's controller does not answer: asking again later.")
            for job in active_jobs:
                yield job
            return
        async for job in check(executor, active_jobs):
            yield job

    plugin.Executor.check_active_jobs = check_active_jobs
