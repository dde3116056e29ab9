import re

from report_run import EXPERIMENTS, SCORES

from legor1.core.files import write_json
from legor1.report import table_export
from legor1.report.sections import summary
from legor1.report.study import read


def test_a_difference_is_claimed_only_where_its_interval_and_its_test_agree(run):
    pairs = [
        ("few_shot", "sft", "object", "iou", 0.25, 0.002),
        ("few_shot", "grpo", "object", "iou", 0.23, 0.002),
        ("sft", "grpo", "object", "iou", -0.02, 0.3),
        ("few_shot", "sft", "grounding", "f1_theme", 0.2, 0.002),
        ("few_shot", "grpo", "grounding", "f1_theme", -0.2, 0.002),
        ("sft", "grpo", "grounding", "f1_theme", -0.4, 0.002),
    ]
    compared = [
        {"baseline": a, "experiment": b, "tasks": {task: {"n": 40, "metrics": {metric: numbers}}}}
        for a, b, task, metric, by, p in pairs
        for numbers in [{"difference": by, "low": by - 0.01, "high": by + 0.01, "p_holm": p}]
    ]
    found = {"protocol": "sound", "baseline": "few_shot", "comparisons": compared}
    write_json(run.folder / "comparison.json", found)
    study = read(run.folder)
    parts, say = (str(re.sub("<.*?>", "", s)) for s in summary.answers(study, "sound"))
    assert parts == (
        "Find the parts (mean IoU): sft and grpo are clearly better than few_shot "
        "(45.0 and 43.0\N{NO-BREAK SPACE}% against 20.0\N{NO-BREAK SPACE}%); "
        "no clear difference between sft and grpo."
    )
    assert say == (
        "Say what to do (F1-theme): sft is clearly better than few_shot "
        "(70.0\N{NO-BREAK SPACE}% against 50.0\N{NO-BREAK SPACE}%); "
        "grpo is clearly worse than few_shot "
        "(30.0\N{NO-BREAK SPACE}% against 50.0\N{NO-BREAK SPACE}%); "
        "sft is clearly better than grpo."
    )


def test_overlapping_intervals_are_no_clear_difference_however_far_the_values(run):
    wide = {"few_shot": (0.1, 0.0, 0.5), "sft": (0.9, 0.5, 1.0), "grpo": (0.6, 0.2, 0.9)}
    run.table({name: {"iou": numbers} for name, numbers in wide.items()})
    (said,) = summary.answers(read(run.folder), "sound")
    assert "no clear difference between" in said and "clearly" not in said


def test_repeats_of_a_training_are_one_column_and_one_claim(run):
    again = {"sft_seed43": {"method": "sft", "seed": 43, "repeats": "sft"}}
    run.configure(seeds=[43], experiments=EXPERIMENTS | again)
    run.table(SCORES | {"sft_seed43": {"iou": (0.391, 0.36, 0.42)}})
    study = read(run.folder)
    assert [one.name for one in study.experiments] == list(EXPERIMENTS)
    *_, said = summary.answers(study, "sound")
    assert "run with 2 seeds (42 and 43)" in said.striptags()
    text = run.page().text
    assert "other seeds: 39.1" in text and "A second seed." not in text
    assert "other seeds: 39.1" in table_export.rendered("results.md.j2", study)
