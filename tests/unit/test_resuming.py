"""A training that is killed and run again ends as if nothing had happened, to the last byte."""

import json

import pytest
import trainings

from legor1.training.work import stop_noted

# Each batch of completions lasts four steps, so that most checkpoints fall into one.
LASTING = {"steps_per_generation": 4, "num_iterations": 2}
CASES = {
    "sft": ("sft", {}, {}),
    "grpo": ("grpo", {}, {}),
    "completions": ("grpo", {"batch_size": 2}, LASTING),
}
# Asked to stop in step 3; killed on the way from step 4, an epoch's end in SFT, to 6; killed when
# the checkpoint of step 8 is all but marked, so that it goes on from 6, in the middle of an epoch.
FATES = [{"signalled": 3}, {"killed_in_step": 6}, {"killed_in_save": 8}, {}]


def trained(data, folder, processes):
    """Return name → the jobs that were not killed and were, all ended; and the exit statuses."""
    jobs, runs = {}, []
    for name, (method, training, config) in CASES.items():
        recipe = trainings.recipe(method, processes=processes, training=training)
        pair = [trainings.write_job(data, folder / f"{name}_{how}", recipe) for how in "ab"]
        jobs[name] = pair
        runs += [(pair[0], {"config": config})]
        runs += [(pair[1], fate | {"config": config}) for fate in FATES]
    statuses = trainings.run(folder, *runs)
    return jobs, {name: statuses[5 * at : 5 * at + 5] for at, name in enumerate(jobs)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return trainings.write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    return trained(data, tmp_path_factory.mktemp("alone"), 1)


@pytest.fixture(scope="module")
def two(data, tmp_path_factory):
    return trained(data, tmp_path_factory.mktemp("two"), 2)


def judge(trained, name):
    jobs, statuses = trained
    whole, killed = jobs[name]
    assert statuses[name] == [0, 0, -9, -9, 0], trainings.log(whole) + trainings.log(killed)
    assert trainings.history(killed) == trainings.history(whole)
    assert trainings.adapter(killed) == trainings.adapter(whole)
    lines = (killed.parent / "out/history.jsonl").read_text().splitlines()
    assert [row["step"] for row in map(json.loads, lines) if "resumed" in row] == [3, 4, 6]
    left = killed.parent / "work"
    assert [path.name for path in left.glob("checkpoint-*")] == ["checkpoint-8"]
    assert stop_noted(left) == {
        "schema_version": 1,
        "step": 3,
        "steps": 8,
        "why": "as it was asked to",
    }


@pytest.mark.parametrize("name", CASES)
def test_one_process(alone, name):
    judge(alone, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_processes(two, name):
    judge(two, name)


def test_the_cases_differ(alone):
    adapters = {trainings.adapter(whole) for whole, _ in alone[0].values()}
    assert len(adapters) == len(CASES)
