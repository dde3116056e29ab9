"""What goes wrong on a cluster, and that the study ends as if nothing had: docs/recovery.md.

Each study is disturbed while its training runs. After what that page says is to be done, if
anything, the training is finished, and its adapter is that of an undisturbed one, byte for byte.
What follows a training knows nothing of the faults, so only the first test runs on to the report.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from site_study import SiteStudy, jobs, processes_of, wait_for
from study import Study
from watching import saved

from legor1.core.files import read_jsonl

pytestmark = pytest.mark.cluster

OVERLAY = Path(__file__).with_name("disturbed.yaml")
RUN = Path("results/smoke")
ADAPTER = RUN / "adapters/sft/adapter/adapter_model.safetensors"
TRAINING = "--until=train_sft"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return a folder with the study up to its adapter, made here without a cluster."""
    study = Study(tmp_path_factory.mktemp("undisturbed"), "smoke", with_base=True)
    study.overlay.append(str(OVERLAY))
    done = study.snakemake("--cores", "1", TRAINING)
    assert done.returncode == 0, done.stdout
    return study.folder


@pytest.fixture
def study(slurm, undisturbed, tmp_path):
    """Return a study whose data are prepared, and whose training was not begun."""
    study = SiteStudy(tmp_path / "study", "smoke", with_base=True)
    study.overlay.append(str(OVERLAY))
    for part in (RUN / "data", RUN / "base", Path(".snakemake/metadata")):
        shutil.copytree(undisturbed / part, study.folder / part)
    assert study.plan().keys() & {"fetch_dataset", "convert_dataset", "train_sft"} == {"train_sft"}
    yield study
    study.end()


def in_training(study, *arguments):
    """Submit the training; return that, and its job as soon as there is a checkpoint."""
    submission = study.submit(*(arguments or [TRAINING]))
    return submission, further(study, submission)


def further(study, submission, jobs_before=0, restarts=0) -> str:
    """Wait until the training's next job, or its restart, has saved; return the job."""

    def runs() -> bool:
        *earlier, last = jobs(study.folder, "train_sft") or [{}]
        again = (last.get("JobState"), last.get("Restarts")) == ("RUNNING", str(restarts))
        return again and len(earlier) == jobs_before

    def has_saved() -> bool:
        return saved(study.folder / RUN / "work") != before

    for event in (runs, has_saved):
        before = saved(study.folder / RUN / "work")
        wait_for(lambda event=event: event() or submission.process.poll() is not None)
        assert submission.process.poll() is None, submission.said()
    return jobs(study.folder, "train_sft")[-1]["JobId"]


def states(study) -> list[str]:
    """Return what became of the training's jobs, in the order that they were submitted."""
    return [job["JobState"] for job in jobs(study.folder, "train_sft")]


def check(study, undisturbed, resumed=True) -> None:
    """Compare the finished training with the undisturbed one."""
    assert (study.folder / ADAPTER).read_bytes() == (undisturbed / ADAPTER).read_bytes()
    history = read_jsonl(study.folder / RUN / "adapters/sft/history.jsonl")
    assert any("resumed" in row for row in history) == resumed
    assert study.plan(TRAINING) == {}


def test_a_job_that_is_ended_again_and_again_ends_as_an_undisturbed_one(study, undisturbed):
    submission, job = in_training(study, "all")
    subprocess.run(["scancel", job], check=True)
    job = further(study, submission, jobs_before=1)

    for process in processes_of(study.folder, "job.json"):
        os.kill(process, signal.SIGSTOP)  # it would be done before SLURM looks
    subprocess.run(["scontrol", "update", f"jobid={job}", "EndTime=now+1"], check=True)
    job = further(study, submission, jobs_before=2)

    down = ["scontrol", "update", "nodename=node-a100", "state=down", "reason=test"]
    subprocess.run(down, check=True)
    wait_for(lambda: states(study)[-1] == "PENDING")
    time.sleep(5)  # it cannot start meanwhile
    assert states(study)[-1] == "PENDING"
    subprocess.run(["scontrol", "update", "nodename=node-a100", "state=resume"], check=True)
    further(study, submission, jobs_before=2, restarts=1)

    urgent = ["--partition=urgent", "--gpus=a100:1", "--output=/dev/null", "--wrap=sleep 10"]
    subprocess.run(["sbatch", *urgent], check=True)
    assert submission.wait() == 0, submission.said()
    assert states(study) == ["CANCELLED", "TIMEOUT", "COMPLETED"]
    last = jobs(study.folder, "train_sft")[-1]
    assert (last["JobId"], last["Restarts"]) == (job, "2")
    check(study, undisturbed)
    assert (study.folder / RUN / "report.html").exists()
    assert study.plan() == {}


def test_a_job_without_enough_memory_gets_more(study, undisturbed):
    rules = study.folder / "workflow/rules/train.smk"
    scarce = rules.read_text().replace("memory(cpu=6000", "memory(cpu=1600")
    rules.write_text(scarce)
    submission = study.submit(TRAINING)
    assert submission.wait() == 0, submission.said()
    first, *_, last = jobs(study.folder, "train_sft")
    assert (first["MinMemoryNode"], first["JobState"]) == ("1600M", "FAILED")
    assert (last["MinMemoryNode"], last["JobState"]) in (
        ("2400M", "COMPLETED"),
        ("3200M", "COMPLETED"),
    )
    check(study, undisturbed, resumed=False)


def test_snakemake_and_then_the_controller_are_killed(slurm, study, undisturbed):
    submission, _ = in_training(study)
    submission.process.kill()
    submission.process.wait()
    assert states(study) == ["RUNNING"]
    subprocess.run(["scancel", "--name", submission.run_id()], check=True)
    wait_for(lambda: states(study) == ["CANCELLED"])
    assert study.snakemake("--unlock").returncode == 0

    submission = study.submit(TRAINING)
    further(study, submission, jobs_before=1)
    slurm("kill-controller")
    wait_for(lambda: (study.folder / ADAPTER).exists())
    wait_for(lambda: "controller does not answer" in submission.said())
    slurm("start-controller")
    assert submission.wait() == 0, submission.said()
    assert states(study) == ["CANCELLED", "COMPLETED"]
    check(study, undisturbed)


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of 40 MB as the study's results."""
    results = tmp_path / "study" / "results"
    results.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", results], check=True)
    yield results
    subprocess.run(["umount", "--lazy", results], check=True)


def test_unreadable_images_and_then_a_full_disk_are_named(small_disk, study, undisturbed):
    images = sorted((study.folder / RUN / "data/tree").rglob("*.png"))
    for image in images:
        image.rename(image.with_suffix(".away"))
        image.symlink_to("nowhere.png")
    submission = study.submit(TRAINING)
    assert submission.wait() != 0
    named = [image for image in images if f"{image} cannot be read: No such" in submission.said()]
    assert named, submission.said()
    for image in images:
        image.with_suffix(".away").rename(image)

    submission = study.submit(TRAINING)
    further(study, submission, jobs_before=len(states(study)))
    filler = small_disk / "filler"
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}"], stderr=subprocess.DEVNULL, check=False)
    assert submission.wait() != 0
    assert "could not be written" in submission.said()
    assert "make room on that disk and run again" in submission.said()
    assert "COMPLETED" not in states(study)
    filler.unlink()
    study.finish(TRAINING)
    check(study, undisturbed)
