import math

import pytest
from report_run import answers

from legor1.core.errors import UserError
from legor1.core.files import read_json, write_json
from legor1.report.sections.result_tables import best, results, standing
from legor1.report.study import read
from legor1.tasks.discovery import metric

NAMES = ("few_shot", "sft", "grpo")


def compared(
    run, name: str, p=0.001, against: str = "few_shot", **metrics: tuple[float, float, float]
):
    """Have the run compare one experiment with another: metric → (difference, low, high)."""
    found = {
        key: dict(zip(("difference", "low", "high"), numbers, strict=True))
        | {"p": p and p / 100, "p_holm": p}
        for key, numbers in metrics.items()
    }
    task = {"n": 40, "main": next(iter(metrics)), "metrics": found}
    tasks = {"state" if "fpr" in metrics else "object": task}
    one = {"baseline": against, "experiment": name, "tasks": tasks}
    whole = {"protocol": "sound", "baseline": "few_shot", "comparisons": [one]}
    write_json(run.folder / "comparison.json", whole)
    return read(run.folder)


@pytest.mark.parametrize(
    "scores",
    [
        [(0.5, 0.4, 0.6), (0.8, 0.7, 0.9)],  # apart, but not tested
        [(0.8, 0.7, 0.9), (None, None, None), (0.5, 0.4, 0.6)],
        [(0.5, 0.4, 0.6), (0.5, 0.3, 0.7)],
        [(0.5, 0.4, 0.6), (0.5, 0.3, 0.7), (0.1, 0.0, 0.2)],
        [(0.5, 0.4, 0.6)],
        [(0.5, math.nan, math.nan), (0.8, 0.7, 0.9)],
    ],
)
def test_without_paired_tests_there_is_no_star(run, scores):
    run.table({name: {"iou": numbers} for name, numbers in zip(NAMES, scores, strict=False)})
    assert best(read(run.folder), "sound", metric("object", "iou")) is None
    assert "★ 0" not in (text := run.page().text) and "★ 8" not in text and "★ 5" not in text


@pytest.mark.parametrize(("free", "starred"), [(0.49, True), (0.5, False), (0.7, False)])
def test_what_does_not_beat_an_answer_without_a_model_has_no_star(run, free, starred):
    run.table(
        {"few_shot": {"iou": (0.4, 0.2, 0.6)}, "sft": {"iou": (0.5, 0.3, 0.7)}}
        | {"mean_box": {"iou": (free, free, free)}}
    )
    study = compared(run, "sft", iou=(0.1, 0.05, 0.15))
    assert (best(study, "sound", metric("object", "iou")) is not None) == starred
    assert ("★ 50.0" in run.page().text) == starred


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((0.01, 0.3), ("better", "worse", "sft")),  # though the two intervals overlap
        ((0.0, 0.3), ("unclear", "unclear", None)),
        ((-0.1, 0.3), ("unclear", "unclear", None)),
    ],
)
def test_beside_the_baseline_the_paired_interval_decides(run, ends, expected):
    run.table(
        {
            "few_shot": {"f1_50_labelled": (0.4, 0.2, 0.6)},
            "sft": {"f1_50_labelled": (0.5, 0.3, 0.7)},
        }
    )
    study = compared(run, "sft", f1_50_labelled=(0.1, *ends))
    few_shot, sft = study.experiments[:2]
    assert (
        standing(study, "sound", metric("object", "f1_50_labelled"), sft, few_shot) == expected[0]
    )
    assert (
        standing(study, "sound", metric("object", "f1_50_labelled"), few_shot, sft) == expected[1]
    )
    first = best(study, "sound", metric("object", "f1_50_labelled"))
    assert (first and first.name) == expected[2]
    (said,) = answers(study)
    assert ("is clearly better" in said) == (expected[0] == "better")
    assert ("no clear difference" in said) == (expected[0] == "unclear")


def test_intervals_apart_are_no_claim_where_the_paired_one_contains_zero(run):
    study = compared(run, "sft", f1_50_labelled=(0.25, -0.01, 0.5))  # 18–22 and 42–48 in the table
    few_shot, sft, grpo = study.experiments
    assert standing(study, "sound", metric("object", "f1_50_labelled"), sft, few_shot) == "unclear"
    assert standing(study, "sound", metric("object", "f1_50_labelled"), grpo, few_shot) == "unclear"
    parts, *_ = answers(study)
    assert "no clear difference between few_shot, sft and grpo" in parts.striptags()


@pytest.mark.parametrize("p", [0.05, 1.0, None])
def test_what_the_test_does_not_bear_out_is_not_claimed(run, p):
    study = compared(run, "sft", p, iou=(0.25, 0.2, 0.3))  # two manuals: short intervals, p is 1
    few_shot, sft, _ = study.experiments
    assert standing(study, "sound", metric("object", "iou"), sft, few_shot) == "unclear"


@pytest.mark.parametrize(
    ("p_holm", "expected"), [(0.04, "better"), (0.06, "unclear"), (None, "unclear")]
)
def test_a_secondary_metric_is_judged_by_its_adjusted_p(run, p_holm, expected):
    study = compared(run, "sft", 0.001, iou=(0.25, 0.2, 0.3), f1_object=(0.25, 0.2, 0.3))
    whole = read_json(run.folder / "comparison.json")
    whole["comparisons"][0]["tasks"]["object"]["metrics"]["f1_object"] |= {"p_holm": p_holm}
    write_json(run.folder / "comparison.json", whole)  # its own p is 0.00001
    study = read(run.folder)
    few_shot, sft, _ = study.experiments
    assert standing(study, "sound", metric("object", "iou"), sft, few_shot) == "better"
    assert standing(study, "sound", metric("object", "f1_object"), sft, few_shot) == expected


def test_between_two_trainings_the_paired_interval_decides_too(run):
    study = compared(run, "grpo", against="sft", f1_50_labelled=(-0.02, -0.03, -0.01))
    _, sft, grpo = study.experiments
    assert standing(study, "sound", metric("object", "f1_50_labelled"), grpo, sft) == "worse"
    assert standing(study, "sound", metric("object", "f1_50_labelled"), sft, grpo) == "better"
    first = best(study, "sound", metric("object", "f1_50_labelled"))
    assert first is None  # few_shot was not compared
    parts, *_ = answers(study)
    assert "sft is clearly better than grpo" in parts.striptags()


def test_a_comparison_of_an_earlier_version_is_named(run):
    compared(run, "sft", iou=(0.25, 0.2, 0.3))
    whole = read_json(run.folder / "comparison.json")
    del whole["comparisons"][0]["baseline"]
    write_json(run.folder / "comparison.json", whole)
    with pytest.raises(UserError, match=r"comparison\.json holds no comparison .*Remedy"):
        read(run.folder)


def test_less_is_better_for_a_rate_of_errors(run):
    study = compared(run, "sft", fpr=(-0.2, -0.3, -0.1))
    (block,) = (one for one in results(study, "sound") if one.task == "state")
    cells = block.rows[0].cells
    assert [cell.verdict for cell in cells] == ["", "better", ""]
    text = run.page().text
    assert "▲ better −20.0 −30.0 to −10.0" in text


def test_the_verdicts_are_told_by_words_and_signs(run):
    compared(run, "sft", iou=(0.25, 0.2, 0.3), f1_object=(-0.25, -0.3, -0.2))
    run.table(
        {
            name: {"iou": (0.2, 0.1, 0.3), "f1_object": (0.4, 0.3, 0.5)}
            for name in ("few_shot", "sft")
        }
    )
    text = run.page().text
    assert "▲ better +25.0 +20.0 to +30.0" in text and "▼ worse −25.0 −30.0 to −20.0" in text
