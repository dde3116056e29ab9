import re

from legor1.report import findings
from legor1.report.study import read


def test_a_difference_is_claimed_only_where_intervals_are_apart(run):
    study = read(run.folder)
    parts, say = (str(re.sub("<.*?>", "", s)) for s in findings.answers(study, "sound"))
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
    (said,) = findings.answers(read(run.folder), "sound")
    assert "no clear difference between" in said and "clearly" not in said
