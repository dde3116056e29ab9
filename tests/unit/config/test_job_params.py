import math
from pathlib import Path

import pytest

from legor1.config import job_params
from legor1.config.settings import load, read
from legor1.core.errors import UserError

FULL = Path(__file__).parents[3] / "config.yaml"
CONFIG = load(FULL, {"seeds": [43]})


def changed(**overlay):
    config = load(FULL, {"seeds": [43]}, overlay)
    return {
        f"{stage.__name__.removesuffix('_job')} {name}"
        for stage in (job_params.training_job, job_params.prediction_job)
        for name, settings in config["experiments"].items()
        if stage is job_params.prediction_job or settings["method"] != "baseline"
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
    trained = {
        f"training {name}" for name in ("sft", "grpo", "sft_grpo", "thesis_sft", "thesis_grpo")
    }
    drawn = {f"prediction thesis_{name}" for name in ("sft", "grpo", "few_shot")}
    again = {f"prediction thesis_{name}_seed43" for name in ("sft", "grpo")}
    assert trained <= changed(seed=1) <= trained | drawn
    assert not again & changed(seed=1)
    drawn = load(FULL, {"seeds": [43], "inference": {"sampling": {"temperature": 0.5}}})
    seeds = {
        name: job_params.prediction_job(drawn, name).as_mapping()["seed"]
        for name in ("sft", "sft_seed43")
    }
    assert seeds == {"sft": 42, "sft_seed43": 43}


def test_a_repeat_differs_in_its_seed_and_name_alone():
    one, again = (
        job_params.training_job(CONFIG, name).as_mapping() for name in ("sft", "sft_seed43")
    )
    assert again == one | {"seed": 43, "experiment": "sft_seed43"}


def test_settings_of_inference_are_no_trainings():
    named = changed(inference={"max_new_tokens": 9})
    assert named and all(name.startswith("prediction ") for name in named)


def test_an_experiments_own_pixel_budget_goes_before_the_runs():
    few_shot = {"method": "baseline", "pixel_budget": {"max_pixels": 9000}}
    config = load(FULL, {"experiments": {"few_shot": few_shot}})
    budget = job_params.prediction_job(config, "few_shot").as_mapping()["pixel_budget"]
    assert budget == {"min_pixels": CONFIG["pixel_budget"]["min_pixels"], "max_pixels": 9000}


def shipped():
    """Every recipe of the configs that are shipped, with the job that it is for."""
    folder = FULL.parent / "workflow/configs"
    for overlay in [{}, *map(read, sorted(folder.glob("*.yaml")))]:
        config = load(FULL, overlay)
        yield config["base"]["rebuild"], "build-base"
        for name, settings in config["experiments"].items():
            yield job_params.prediction_job(config, name).as_mapping(), "predict"
            if settings["method"] != "baseline":
                yield job_params.training_job(config, name).as_mapping(), "train"


def test_every_recipe_of_a_config_is_taken_as_it_is():
    jobs = set()
    for recipe, job in shipped():
        assert job_params.checked(recipe, job) == recipe
        assert list(map(str, job_params.checked(recipe, job))) == list(recipe)
        jobs.add(job)
    assert jobs == {"build-base", "predict", "train"}


@pytest.mark.parametrize(
    ("job", "change", "message"),
    [
        ("predict", {"pixel_budgt": {}}, "unknown key pixel_budgt. Did you mean pixel_budget?"),
        (
            "predict",
            {"max_new_tokens": "many"},
            "valid integer (given: 'many')",
        ),
        ("predict", {"threads": math.nan}, "threads: Input should be at most"),
        ("train", {"method": "stf"}, "method: there is no 'stf'. Did you mean sft?"),
        ("train", {"lora": {"r": 8}}, "lora.alpha is missing"),
        ("train", {"seed": None}, "seed: Input should be a valid integer (given: None)"),
        (
            "build-base",
            {"demonstrations": 2},
            "demonstrations: Input should be less",
        ),
        ("build-base", {"model": {}}, "model.text is missing"),
    ],
)
def test_a_wrong_recipe_is_an_error_that_names_the_key(job, change, message):
    recipe = next(recipe for recipe, of in shipped() if of == job)
    with pytest.raises(UserError, match="the recipe has errors") as error:
        job_params.checked(recipe | change, job)
    assert message in str(error.value) and "Remedy: " in str(error.value)


@pytest.mark.parametrize("job", ["build-base", "predict", "train"])
def test_each_key_that_a_recipe_lacks_is_named(job):
    recipe = next(recipe for recipe, of in shipped() if of == job)
    for key in set(recipe) - {"max_tokens", "sampling"}:
        with pytest.raises(UserError, match=rf"\b{key} is missing. Remedy: add it"):
            job_params.checked({k: v for k, v in recipe.items() if k != key}, job)
