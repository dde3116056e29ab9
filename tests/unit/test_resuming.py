"""A training that is killed and run again ends as if nothing had happened, to the last byte."""

import json

import pytest
import trainings

from legor1.training import checkpoints


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return trainings.write_data(tmp_path_factory.mktemp("data"))


def resumed_equals_undisturbed(data, folder, recipe):
    """Kill a training in a step, and when a checkpoint is all but marked; then let it end."""
    whole = trainings.write_job(data, folder / "whole", recipe)
    killed = trainings.write_job(data, folder / "killed", recipe)
    fates = [{"killed_in_step": 4}, {"killed_in_save": 4}, {}]
    statuses = trainings.run(folder, (whole, {}), *((killed, fate) for fate in fates))
    assert statuses == [0, -9, -9, 0], "".join(
        (job.parent / "log").read_text() for job in (whole, killed)
    )
    assert trainings.history(killed) == trainings.history(whole)
    assert trainings.adapter(killed) == trainings.adapter(whole)
    lines = (killed.parent / "out/history.jsonl").read_text().splitlines()
    (resumed,) = [row for row in map(json.loads, lines) if "resumed" in row]
    assert resumed["step"] == 2


def test_sft(data, tmp_path):
    resumed_equals_undisturbed(data, tmp_path, trainings.recipe("sft"))


@pytest.mark.slow
def test_sft_on_two_processes(data, tmp_path):
    resumed_equals_undisturbed(data, tmp_path, trainings.recipe("sft", processes=2))


def test_grpo(data, tmp_path):
    resumed_equals_undisturbed(data, tmp_path, trainings.recipe("grpo"))


@pytest.mark.slow
def test_grpo_on_two_processes(data, tmp_path):
    resumed_equals_undisturbed(data, tmp_path, trainings.recipe("grpo", processes=2))
