"""The ablation block of a config: which variants it makes, and what each is."""

from pathlib import Path

import pytest

from legor1.config import ablation
from legor1.config.job_params import prediction_job, training_job
from legor1.config.settings import load, typed
from legor1.core.errors import UserError
from legor1.published import defects
from legor1.published.published_settings import DEFECTS

BASE = Path(__file__).parents[3] / "config.yaml"
PAIR = ["row_split", "test_demos_in_training"]


def config(of=("few_shot", "sft", "grpo"), **block):
    return typed(load(BASE, {"ablation": {"of": [*of], **block}}))


def variants(*of, **block):
    return {one.name: one for one in ablation.variants(config(of, **block))}


def recipe(name, *of, **block):
    return training_job(ablation.expanded(config(of, **block)), name)


def test_without_a_block_there_is_nothing():
    assert ablation.variants(typed(load(BASE))) == []


def test_each_defect_is_on_alone_and_off_alone_beside_its_parent():
    made = variants("sft", defects=["frame_mismatch"])
    assert {name: one.parent for name, one in made.items()} == {
        "sft_sound": None,
        "sft_sound_with_frame_mismatch": "sft_sound",
        "sft_thesis": None,
        "sft_thesis_without_frame_mismatch": "sft_thesis",
    }
    assert [len(one.defects) for one in made.values()] == [0, 1, 23, 22]
    assert "frame_mismatch" not in made["sft_thesis_without_frame_mismatch"].defects


def test_all_defects_are_one_variant_each():
    assert len(variants("sft", "few_shot")) == 2 * 2 * (1 + len(DEFECTS))


def test_an_inner_list_is_one_bundle():
    made = variants("sft", defects=[PAIR], around=["sound"])
    assert made["sft_sound_with_row_split_and_test_demos_in_training"].switched == tuple(PAIR)


def test_a_long_bundle_has_a_short_name():
    name = ablation.named(DEFECTS)
    assert name == "self_demo_and_22_more"


def test_trainings_are_repeated_by_seed_and_what_is_not_trained_is_not():
    made = variants("few_shot", "sft", defects=["summed_iou"], seeds=[42, 43])
    assert made["few_shot_sound"].experiments == {42: "few_shot_sound"}
    assert made["sft_sound"].experiments == {42: "sft_sound_seed42", 43: "sft_sound_seed43"}
    block = {"defects": ["summed_iou"], "seeds": [42, 43]}
    assert recipe("sft_sound_seed43", "sft", **block).seed == 43


def test_a_defect_of_data_is_a_protocol_that_the_experiments_share():
    given = config(("few_shot", "sft"), defects=["row_split", "two_generations"])
    made = ablation.expanded(given).protocols
    assert list(made) == ["sound", "sound_with_row_split", "thesis", "thesis_without_row_split"]
    on = {name: defects.chosen(one.defects) for name, one in made.items()}
    assert on["sound"] == set()
    assert on["sound_with_row_split"] == {"row_split"}
    assert on["thesis_without_row_split"] == set(defects.SWITCHES) - {"row_split"}


@pytest.mark.parametrize(
    ("defect", "method", "where", "expected"),
    [
        ("two_generations", "grpo", ("training", "generations"), 2),
        ("truncated_thinking", "grpo", ("training", "max_new_tokens"), 164),
        ("batch_task", "grpo", ("training", "suite"), "batch_task"),
        ("matched_only_reward", "grpo", ("training", "suite"), "matched_only_reward"),
        ("unequal_budget", "grpo", ("lora", "alpha"), 64),
        ("small_sft_images", "sft", ("pixel_budget", "max_pixels"), 589824),
    ],
)
def test_a_defect_of_training_is_a_setting_of_its_method(defect, method, where, expected):
    block = {"defects": [defect], "around": ["sound"]}
    plain, switched = (
        recipe(f"{method}_sound{with_it}_seed42", method, **block).as_mapping()
        for with_it in ("", f"_with_{defect}")
    )
    first, second = where
    assert switched[first][second] == expected != plain[first][second]


def test_both_defects_of_the_rewards_have_a_suite_together():
    made = recipe("grpo_thesis_seed42", "grpo", defects=["batch_task"])
    assert made.training.suite == "matched_only_reward_batch_task"
    made = recipe("grpo_thesis_without_batch_task_seed42", "grpo", defects=["batch_task"])
    assert made.training.suite == "matched_only_reward"


def test_decoding_changes_no_training():
    given = config(("sft",), defects=["sampled_vs_greedy"], around=["sound"])
    made = ablation.expanded(given)
    names = "sft_sound_seed42", "sft_sound_with_sampled_vs_greedy_seed42"
    plain, sampled = (training_job(made, name).as_mapping() for name in names)
    assert {**plain, "experiment": ""} == {**sampled, "experiment": ""}
    plain, sampled = (prediction_job(made, name) for name in names)
    assert plain.sampling is None
    assert sampled.sampling.temperature == 0.95


def test_a_config_may_set_other_values_than_were_published():
    own = {"truncated_thinking": {"grpo": {"training": {"max_new_tokens": 32}}}}
    block = {"defects": ["truncated_thinking"], "settings": own}
    name = "grpo_sound_with_truncated_thinking_seed42"
    assert recipe(name, "grpo", **block).training.max_new_tokens == 32


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"of": ["stf"]}, "ablation.of: there is no experiment 'stf'. Did you mean sft"),
        ({"of": ["thesis_sft"]}, "thesis_sft has defects already"),
        ({"of": ["sft_grpo"]}, "starts from the adapter of sft"),
        ({"of": ["sft"], "defects": ["row_spilt"]}, "no defect 'row_spilt'. Did you mean row_spl"),
        ({"of": ["sft"], "defects": "none"}, "Remedy: write all, or a list"),
        ({"of": ["sft"], "settings": {"frame": {}}}, "no defect 'frame'"),
        ({"of": ["sft"], "defects": [[*DEFECTS], [*DEFECTS[:1], *DEFECTS[:0:-1]]]}, "two are call"),
        (
            {"of": ["sft"], "settings": {"small_sft_images": {"sft": {"lora": {"r": 0}}}}},
            "ablation.settings makes the experiment sft_sound_with_small_sft_images_seed42 wrong",
        ),
        (
            {"of": ["grpo"], "settings": {"two_generations": {"grpo": {"training": {"steps": 9}}}}},
            "ablation: experiments.grpo_sound_with_two_generations_seed42.training: the length",
        ),
    ],
)
def test_what_is_wrong_is_said_with_a_remedy(block, said):
    with pytest.raises(UserError) as error:
        load(BASE, {"ablation": block})
    assert said in str(error.value)
    assert "Remedy" in str(error.value)
