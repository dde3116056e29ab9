"""A training that is killed and run again ends as if nothing had happened, to the last byte."""

import errno
import json
import shutil
from pathlib import Path

import pytest
import torch
import trainings

from legor1.training import work_folder
from legor1.training.fast import exact_resume
from legor1.training.work_folder import HISTORY, PROGRESS, stop_noted

# Each batch of completions lasts four steps, so that most checkpoints fall into one.
LASTING = {"steps_per_generation": 4, "num_iterations": 2}
WITHOUT_DROPOUT = {"lora": {"r": 4, "alpha": 8, "dropout": 0.0}}  # prompts are shared
QUICK = {
    "sft": ("sft", {}, {}),
    "grpo": ("grpo", WITHOUT_DROPOUT, {}),
    # From an adapter, which is also the reference of its KL term.
    "grpo_from_sft": ("grpo", WITHOUT_DROPOUT | {"start_from": "sft"}, {}),
}
# By the stock trainer, with dropout; a checkpoint at the end of a batch draws a new one after it.
SLOW = {"lasting_completions": ("grpo", {"training": {"batch_size": 2}}, LASTING)}
# Asked to stop in step 3; no room for the checkpoint of step 6, so that it goes on from step 4;
# killed when that of step 8 is all but marked, and when all is done but nothing is published.
# An epoch has 5 steps in SFT and 2 in GRPO, so these are in the middle of epochs and at their ends.
FATES = [{"signalled": 3}, {"disk_full": 6}, {"killed_in_save": 8}, {"killed_at_end": 8}, {}]
STATUSES = [0, 0, 2, -9, -9, 0]  # of the undisturbed training, and of these


def trained(data, folder, processes, cases):
    """Return name → the jobs that were undisturbed and not, all ended; and the exit statuses."""
    jobs, runs = {}, []
    for name, (method, changes, config) in cases.items():
        recipe = trainings.recipe(method, processes=processes, **changes)
        start = trainings.write_adapter(folder / "start") if "start_from" in recipe else None
        places = [folder / f"{name}_{how}" for how in "ab"]
        pair = [trainings.write_job(data, place, recipe, start) for place in places]
        jobs[name] = pair
        runs += [(pair[0], {"config": config})]
        runs += [(pair[1], fate | {"config": config}) for fate in FATES]
    statuses = trainings.run(folder, *runs)
    count = len(STATUSES)
    return jobs, {name: statuses[count * at :][:count] for at, name in enumerate(jobs)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return trainings.write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def quick(data, tmp_path_factory):
    return trained(data, tmp_path_factory.mktemp("quick"), 1, QUICK)


@pytest.fixture(scope="module")
def slow(data, tmp_path_factory):
    return trained(data, tmp_path_factory.mktemp("slow"), 1, SLOW)


@pytest.fixture(scope="module")
def two(data, tmp_path_factory):
    return trained(data, tmp_path_factory.mktemp("two"), 2, QUICK | SLOW)


def judge(trained, name):
    jobs, statuses = trained
    whole, killed = jobs[name]
    assert statuses[name] == STATUSES, trainings.log(whole) + trainings.log(killed)
    assert trainings.history(killed) == trainings.history(whole)
    assert trainings.adapter(killed) == trainings.adapter(whole)
    lines = (killed.parent / "out/history.jsonl").read_text().splitlines()
    assert [row["step"] for row in map(json.loads, lines) if "resumed" in row] == [3, 4, 6, 8]
    left = killed.parent / "work"
    assert [path.name for path in left.glob("checkpoint-*")] == ["checkpoint-8"]
    assert not (left / PROGRESS).exists() and not (left / HISTORY).exists()
    assert stop_noted(left) == {
        "schema_version": 1,
        "step": 3,
        "steps": 8,
        "why": "as it was asked to",
    }


@pytest.mark.parametrize("name", QUICK)
def test_one_process(quick, name):
    judge(quick, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_one_process_of_the_stock_trainer(slow, name):
    judge(slow, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK | SLOW)
def test_two_processes(two, name):
    judge(two, name)


CODED = (
    "global_step8/mp_rank_00_model_states.pt",
    "global_step8/zero_pp_rank_0_mp_rank_00_optim_states.pt",
    "progress_0.pt",
    "rng_state.pth",
    "scheduler.pt",
)


class Code:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_checkpoint_that_holds_code_is_refused_and_the_code_not_run(data, quick, tmp_path):
    jobs = {}
    longer = trainings.recipe("sft", training={"steps": 10})  # else nothing reads the random state
    for name in CODED:
        job = trainings.write_job(data, tmp_path / Path(name).stem, longer)
        work = job.parent / "work"
        shutil.copytree(quick[0]["sft"][0].parent / "work", work, dirs_exist_ok=True)
        coded = work / "checkpoint-8" / name
        torch.save(Code(tmp_path / "made"), coded)
        work_folder.mark_whole(work / "checkpoint-8")
        jobs[coded] = job
    assert trainings.run(tmp_path, *((job, {}) for job in jobs.values())) == [2] * len(CODED)
    for coded, job in jobs.items():
        said = trainings.log(job)
        assert f"{coded} is damaged, or holds code, none of which was run. Remedy: delete" in said
        assert "Traceback" not in said
    assert not (tmp_path / "made").exists()


def test_a_full_disk_leaves_the_last_checkpoint_and_says_so(quick):
    said = trainings.log(quick[0]["sft"][1])
    assert "the checkpoint of step 6 could not be written to" in said
    assert "The last whole checkpoint is of step 4. Remedy: make room" in said


def test_only_a_full_disk_is_explained_between_checkpoints(tmp_path):
    written = exact_resume.Checkpoints(None, tmp_path)
    said = str(written.explain(OSError(errno.ENOSPC, "No space left on device")))
    assert said.startswith(f"a file of the training in {tmp_path} could not be written")
    assert "The last whole checkpoint does not exist yet. Remedy: make room" in said
    assert written.explain(OSError(errno.EIO, "Input/output error")) is None
