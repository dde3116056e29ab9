"""The small study, killed again and again in every stage, ends as an undisturbed one does.

A seed draws where and when; it is printed, and LEGOR1_CHAOS_SEED repeats it, as far as the machine
is as fast. LEGOR1_CHAOS_KILLS asks for fewer or more kills than 50.
"""

import os
import random
import re
import time
from collections import Counter

import pytest
from disturbed import Attempt
from study import Study

from legor1.core.files import sha256

KILLS = int(os.environ.get("LEGOR1_CHAOS_KILLS", 50))  # at least
EACH = 3 if KILLS >= 50 else 1  # kills of every stage, at least
MOST = 200  # attempts
LAST = "render_report"  # is killed until there are enough
ANYWHERE, SECONDS = 0.1, 5  # of the kills come at any moment of Snakemake's first seconds
ALONE = 0.2  # of the kills leave the jobs alive
AGAIN = ("forcerun", "until")
RUN = "results/smoke"
# What tells of times and attempts.
OF_ITS_OWN = re.compile(
    r"(logs|benchmarks|work)/.*|.*\.provenance\.json|report\.html"
    r"|adapters/\w+/(run\.json|history\.jsonl|curves/.*)"
)

pytestmark = pytest.mark.chaos


def results(study: Study) -> dict[str, str]:
    """Return file → hash of all that a run has in common with another one."""
    root = study.folder / RUN
    names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    return {name: sha256(root / name) for name in names if not OF_ITS_OWN.fullmatch(name)}


def disturb(study: Study, took: Counter, draw: random.Random, log) -> Counter:
    """Run the study to its end, killed on the way; return kills, in all and of each stage."""
    kills = Counter()
    part = []  # of the study that is run; none for all of it
    for _ in range(MOST):
        attempt = Attempt(study, log, *part)
        if draw.random() < ANYWHERE:
            attempt.wait(SECONDS * draw.random())
        else:
            wait_for_the_moment(attempt, lacking(kills, took), took, draw)
        if attempt.process.poll() is None:
            struck = {*attempt.running().values()} or {"between stages"}
            attempt.kill(alone=draw.random() < ALONE)
            kills.update({"all", *struck})
            print(kills["all"], *sorted(struck), flush=True)
            unlock(study)
            continue
        assert attempt.process.returncode == 0, log.read_text()
        if not part and not lacking(kills, took):
            return kills
        # Stages that were over before they were hit so often are run once more by themselves.
        part = [f"--{how}={stage}" for stage in lacking(kills, took)[:1] for how in AGAIN]
    raise AssertionError(f"not every stage was hit: {kills}")


def wait_for_the_moment(attempt: Attempt, stages, took: Counter, draw: random.Random) -> None:
    """Wait for one of the stages, and then for a part of the time that it takes."""
    while found := attempt.wait_for(stages):
        job, stage = found
        if attempt.lasts(job, draw.uniform(0, took[stage])):
            return
        took[stage] *= 0.8  # the machine has become faster


def lacking(kills: Counter, stages) -> list[str]:
    """Return the stages that are still to be killed."""
    more = [LAST] if kills["all"] < KILLS else []
    return [stage for stage in stages if kills[stage] < EACH] + more


def unlock(study: Study) -> None:
    """Do as Snakemake says where it was killed."""
    if [*(study.folder / ".snakemake/locks").glob("*")]:
        done = study.snakemake("--unlock")
        assert done.returncode == 0, done.stdout


def test_a_study_that_is_killed_everywhere_ends_as_an_undisturbed_one(tmp_path):
    seed = int(os.environ.get("LEGOR1_CHAOS_SEED", time.time_ns() % 10**6))
    print(f"\nLEGOR1_CHAOS_SEED={seed}")
    calm, disturbed = (Study(tmp_path / name, "smoke", with_base=True) for name in ("calm", "hit"))
    attempt = Attempt(calm, tmp_path / "calm.log")
    took = attempt.wait()
    assert attempt.process.returncode == 0, attempt.log.read_text()
    kills = disturb(disturbed, took, random.Random(seed), tmp_path / "hit.log")
    for stage, count in kills.most_common():
        print(f"{count:5} {stage}")
    expected = results(calm)
    assert {"table.csv", "comparison.json"} <= expected.keys()
    assert results(disturbed) == expected
