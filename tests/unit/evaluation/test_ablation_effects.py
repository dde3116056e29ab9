"""What an ablation measures: paired effects, their intervals, what is inert, bundles, the CSV."""

import csv
from pathlib import Path

import ablation_run
import pytest

from legor1.core.errors import UserError
from legor1.core.files import read_json, read_jsonl, write_jsonl
from legor1.core.layout import RunLayout
from legor1.evaluation.ablation_effects import write_effects
from legor1.evaluation.scoring import Bootstrap

FEW = Bootstrap(replicates=300)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tried")
    ablation_run.answered(folder, ablation_run.config())
    layout = RunLayout(folder)
    write_effects(folder, layout.ablation_effects, layout.ablation_table, FEW)
    return folder


@pytest.fixture(scope="module")
def content(run):
    return read_json(RunLayout(run).ablation_effects)


def effect(content, variant):
    return next(one for one in content["effects"] if one["variant"] == variant)


def numbers(content, variant, metric="iou"):
    found = effect(content, variant)["tasks"]
    return next(metrics[metric] for metrics in found.values() if metric in metrics)


def test_an_effect_is_with_the_defect_less_without_it_on_either_side(content):
    on = numbers(content, "sft_sound_with_frame_mismatch")
    off = numbers(content, "sft_thesis_without_frame_mismatch")
    # One of two boxes is found exactly, so half of the IoU; with the defect, none.
    assert (on["without"], on["with"], on["effect"]) == (0.5, 0.0, -0.5)
    # The thesis sums: 1 for the one box that is found.
    assert (off["without"], off["with"], off["effect"]) == (1.0, 0.0, -1.0)
    assert (on["low"], on["high"]) == (-0.5, -0.5)  # the same in every manual and seed
    assert on["p"] < 0.01 and on["p"] <= on["p_holm"] < 0.05


def test_a_leak_of_the_label_moves_the_state_and_nothing_else(content):
    variant = "sft_sound_with_state_label_in_prompt"
    assert numbers(content, variant, "f1_state")["with"] == 1.0
    assert (
        numbers(content, variant, "fpr")["effect"] == -numbers(content, variant, "fpr")["without"]
    )
    assert numbers(content, variant)["effect"] == 0.0
    assert numbers(content, variant)["p"] == 1.0


def test_scoring_alone_is_paired_within_each_seed(content):
    summed = numbers(content, "sft_sound_with_summed_iou")
    assert (summed["without"], summed["with"]) == (0.5, 1.0)
    assert summed["low"] == summed["high"] == 0.5
    found = effect(content, "sft_sound_with_summed_iou")
    assert found["reused"]
    assert {task: list(metrics) for task, metrics in found["tasks"].items()} == {"object": ["iou"]}


def test_a_defect_of_scoring_that_meets_no_case_is_inert(content):
    assert effect(content, "sft_sound_with_skipped_answers")["inert"] == (
        "it scores none of these answers otherwise"
    )
    assert effect(content, "sft_sound_with_skipped_answers")["tasks"] == {}


def test_the_seeds_are_those_of_the_trainings(content):
    values = content["variants"]["sft_sound"]["metrics"]["f1_state"]
    assert len(values["seeds"]) == 2 and values["seeds"][0] != values["seeds"][1]
    assert len(content["variants"]["few_shot_sound"]["metrics"]["f1_state"]["seeds"]) == 1
    assert content["noise"]["sft"]["f1_state"]["half_width"] > 0
    assert content["noise"]["sft"]["iou"]["half_width"] == 0
    assert "few_shot" not in content["noise"]


def test_intervals_of_separate_trainings_hold_the_luck_of_the_seeds(content):
    apart = numbers(content, "sft_sound_with_small_sft_images", "f1_state")
    assert apart["effect"] == 0.0  # the same answers, but of other trainings
    assert apart["low"] < 0 < apart["high"]


def test_defects_that_need_each_other_are_offered_together(content):
    assert content["bundles"] == [
        {
            "defects": ["row_split", "test_demos_in_training"],
            "measured": f"{ablation_run.LEAK} (plain)",
            "alone": 0,
            "together": 10,
            "n": 40,
        }
    ]


def test_what_was_asked_for_and_made_is_counted(content):
    costs = content["costs"]
    assert costs["trainings_made"] < costs["trainings_asked"] == 2 * 2 * 13
    assert costs["training_seconds"] == 60 * costs["trainings_made"]
    assert costs["answers"] == costs["predictions_made"] * 48


def test_the_table_has_every_number(run, content):
    with Path(RunLayout(run).ablation_table).open(newline="") as file:
        rows = list(csv.DictReader(file))
    on = [row for row in rows if row["variant"] == "sft_sound_with_frame_mismatch"]
    iou = next(row for row in on if row["metric"] == "iou")
    assert (iou["effect"], iou["n"], iou["manuals"], iou["seeds"]) == ("-0.5", "24", "12", "2")
    live = sum(len(m) for one in content["effects"] for m in one["tasks"].values())
    inert = sum(one["inert"] is not None for one in content["effects"])
    assert len(rows) == live + inert
    assert {row["effect"] for row in rows if row["inert"]} == {""}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda rows: rows[1:], "does not answer the common test set. Remedy"),
        (lambda rows: [rows[0] | {"reference": "no box"}, *rows[1:]], "no list of boxes. Remedy"),
    ],
)
def test_predictions_that_do_not_belong_are_an_error(tmp_path, damage, said):
    settings = ablation_run.config(defects=["frame_mismatch"], of=["few_shot"])
    plan = ablation_run.answered(tmp_path, settings)
    layout = RunLayout(tmp_path)
    path = layout.ablation.predictions(next(iter(plan["predictions"])))
    write_jsonl(path, damage(read_jsonl(path)))
    with pytest.raises(UserError, match=said):
        write_effects(tmp_path, layout.ablation_effects, layout.ablation_table, FEW)
