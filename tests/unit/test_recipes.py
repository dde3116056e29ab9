from pathlib import Path

import pytest

from legor1.config import job_params
from legor1.config.settings import load

FULL = Path(__file__).parents[2] / "config.yaml"
CONFIG = load(FULL, {"seeds": [43]})


def changed(**overlay):
    config = load(FULL, {"seeds": [43]}, overlay)
    return {
        f"{stage.__name__} {name}"
        for stage in (job_params.training, job_params.prediction)
        for name, settings in config["experiments"].items()
        if stage is job_params.prediction or settings["method"] != "baseline"
        if stage(config, name) != stage(CONFIG, name)
    }


@pytest.mark.parametrize(
    "overlay",
    [
        {"report": {"title": "Another"}},
        {"inference": {"shards": 7}},
        {"evaluation": {"replicates": 7}},
        {"wall_minutes": 30},
    ],
    ids=str,
)
def test_what_a_job_does_not_use_is_in_no_recipe(overlay):
    assert changed(**overlay) == set()


def test_the_seed_is_for_trainings_and_for_answers_that_are_drawn():
    trained = {f"training {name}" for name in ("sft", "grpo", "thesis_sft", "thesis_grpo")}
    drawn = {f"prediction thesis_{name}" for name in ("sft", "grpo", "few_shot")}
    again = {f"prediction thesis_{name}_seed43" for name in ("sft", "grpo")}
    assert trained <= changed(seed=1) <= trained | drawn
    assert not again & changed(seed=1)
    drawn = load(FULL, {"seeds": [43], "inference": {"sampling": {"temperature": 0.5}}})
    seeds = {name: job_params.prediction(drawn, name)["seed"] for name in ("sft", "sft_seed43")}
    assert seeds == {"sft": 42, "sft_seed43": 43}


def test_a_repeat_differs_in_its_seed_and_name_alone():
    one, again = (job_params.training(CONFIG, name) for name in ("sft", "sft_seed43"))
    assert again == one | {"seed": 43, "experiment": "sft_seed43"}


def test_settings_of_inference_are_no_trainings():
    named = changed(inference={"max_new_tokens": 9})
    assert named and all(name.startswith("prediction ") for name in named)


def test_an_experiments_own_pixel_budget_goes_before_the_runs():
    few_shot = {"method": "baseline", "pixel_budget": {"max_pixels": 9000}}
    config = load(FULL, {"experiments": {"few_shot": few_shot}})
    budget = job_params.prediction(config, "few_shot")["pixel_budget"]
    assert budget == {"min_pixels": CONFIG["pixel_budget"]["min_pixels"], "max_pixels": 9000}
