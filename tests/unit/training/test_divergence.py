"""A training that leaves the range of numbers ends when it does, and says so."""

import re

import pytest
import torch
import trainings
from safetensors.torch import load_file

WILD = {"learning_rate": 1e30, "warmup": 0}


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Name → job, and its exit status."""
    folder = tmp_path_factory.mktemp("ended")
    data = trainings.write_data(folder / "data")
    half = {"precision": "bfloat16", "processes": 2, "training": {"steps": 2, "warmup": 0}}
    cases = {
        "sft": trainings.recipe("sft", training=WILD),
        "grpo": trainings.recipe("grpo", training=WILD),
        "half": trainings.recipe("sft", **half),
        "few": trainings.recipe("grpo", rows_per_task=3),
    }
    jobs = {name: trainings.write_job(data, folder / name, one) for name, one in cases.items()}
    statuses = trainings.run(folder, *((job, {"gradients_shown": 2}) for job in jobs.values()))
    return {name: (job, status) for (name, job), status in zip(jobs.items(), statuses, strict=True)}


@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_a_learning_rate_far_too_high_is_named(ended, method):
    job, status = ended[method]
    said = trainings.log(job)
    assert status == 2, said
    assert re.search(r"the training diverged: .*step [123]\b", said), said
    assert "Remedy: lower training.learning_rate" in said
    assert "Traceback" not in said
    assert not (job.parent / "out").exists() or not [*(job.parent / "out").glob("run.json")]


def test_rows_that_make_no_step_of_grpo_are_refused(ended):
    """TRL would take none, and end."""
    job, status = ended["few"]
    assert status == 2
    assert "a step takes 4 prompts, and there are 3 rows. Remedy: lower" in trainings.log(job)


def test_in_bfloat16_gradients_add_up_and_adapters_are_saved_in_float32(ended):
    """Two processes, each with a part of them; the file has digits that bfloat16 has not."""
    job, status = ended["half"]
    assert status == 0, trainings.log(job)
    assert "gradients add up in torch.float32\n" in trainings.log(job)
    for name, weight in load_file(job.parent / "out/adapter/adapter_model.safetensors").items():
        assert weight.dtype == torch.float32
        assert not torch.equal(weight, weight.bfloat16().float()), name
