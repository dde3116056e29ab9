"""Which variants of an ablation share a training and a prediction, and what is inert."""

from pathlib import Path

import ablation_run
import pytest

from legor1.config.job_params import training_job
from legor1.core.files import read_json, write_jsonl
from legor1.core.layout import IN_RUN
from legor1.planning.shared_work import write_plan


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    run = tmp_path_factory.mktemp("planned")
    settings = ablation_run.config()
    layout = ablation_run.prepare(run, settings)
    write_plan(run, settings, Path(layout.ablation.plan))
    return read_json(layout.ablation.plan)


def runs(plan, name):
    return next(one["runs"] for one in plan["variants"] if one["name"] == name)


def inert(plan, name):
    return next(one["inert"] for one in plan["variants"] if one["name"] == name)


def test_conversations_that_are_the_same_share_everything_and_it_is_said_why(planned):
    same = "sft_sound_with_literal_question"
    assert runs(planned, same) == runs(planned, "sft_sound")
    assert inert(planned, same) == (
        "it is in prompts that ask for reasoning alone, and sft asks plainly"
    )
    assert inert(planned, "sft_sound_with_test_demos_in_training") == (
        "the training and test conversations of sft are the same without it, to the last byte"
    )
    assert inert(planned, "few_shot_sound_with_test_demos_in_training").startswith("the test con")


def test_what_a_method_does_not_have_is_inert(planned):
    assert inert(planned, "sft_sound_with_two_generations") == "it concerns GRPO alone"
    said = "it concerns SFT alone"
    assert inert(planned, "few_shot_thesis_without_small_sft_images") == said
    assert inert(planned, "sft_sound_with_no_intervals") == (
        "it hides how sure a number is, and moves none"
    )


def test_decoding_shares_the_training_and_scoring_the_answers_too(planned):
    parent, sampled, summed = (
        runs(planned, f"sft_sound{name}")
        for name in ("", "_with_sampled_vs_greedy", "_with_summed_iou")
    )
    assert [one["training"] for one in sampled] == [one["training"] for one in parent]
    assert not {one["prediction"] for one in sampled} & {one["prediction"] for one in parent}
    assert summed == parent
    assert inert(planned, "sft_sound_with_summed_iou") is None


def test_other_conversations_or_settings_are_work_of_their_own(planned):
    parent = {one["training"] for one in runs(planned, "sft_sound")}
    assert len(parent) == 2  # a seed each
    for defect in ("frame_mismatch", "small_sft_images"):
        own = {one["training"] for one in runs(planned, f"sft_sound_with_{defect}")}
        assert len(own) == 2 and not own & parent
        assert inert(planned, f"sft_sound_with_{defect}") is None
    assert set(planned["trainings"]) == {
        one["training"] for v in planned["variants"] for one in v["runs"] if one["training"]
    }


def test_a_recipe_is_called_by_its_key_alone(planned):
    for key, one in planned["trainings"].items():
        assert one["recipe"]["experiment"] == key
        assert one["folder"] == f"ablation/adapters/{key}"
    for key, one in planned["predictions"].items():
        assert one["recipe"]["experiment"] == key


def test_a_training_of_the_study_is_taken_from_there(tmp_path):
    settings = ablation_run.config(defects=["frame_mismatch"])
    layout = ablation_run.prepare(tmp_path, settings)
    path = tmp_path / IN_RUN.data.conversations("sound", "plain", "train")
    write_jsonl(path, [row | {"prompt": ""} for row in ablation_run.rows()])
    write_plan(tmp_path, settings, Path(layout.ablation.plan))
    plan = read_json(layout.ablation.plan)
    assert training_job(settings, "sft").seed == 42
    first, second = (plan["trainings"][one["training"]] for one in runs(plan, "sft_sound"))
    assert (first["experiment"], first["folder"]) == ("sft", "adapters/sft")
    assert second["experiment"] is None


def test_demonstrations_that_are_not_shown_decide_nothing(tmp_path):
    settings = ablation_run.config(defects=["frame_mismatch"])  # its sft shows none
    layout = ablation_run.prepare(tmp_path, settings)
    tried = layout.ablation
    for name, shown in (("sound", "a"), ("sound_with_frame_mismatch", "b")):
        made = [row | {"prompt": "", "demonstrations": [shown]} for row in ablation_run.rows()]
        write_jsonl(Path(tried.data.conversations(name, "plain", "train")), made)
        write_jsonl(Path(tried.test(name, "plain")), made)
    write_plan(tmp_path, settings, Path(tried.plan))
    plan = read_json(tried.plan)
    assert inert(plan, "sft_sound_with_frame_mismatch")
    assert inert(plan, "few_shot_sound_with_frame_mismatch") is None
