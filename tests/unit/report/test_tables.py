from collections import Counter

import pytest
from report_run import EXPERIMENTS, SCORES, table

from legor1.core.errors import UserError
from legor1.core.files import write_json
from legor1.report.publishable import colour
from legor1.report.sections import result_tables
from legor1.report.study import published, read


def test_a_second_protocol_has_a_table_and_a_baseline_without_model_no_column(run):
    with (run.folder / "table.csv").open("a") as file:
        for name, value in (("few_shot", 1.375), ("sft", 2.5), ("grpo", "")):
            file.write(f"{name},thesis,object,iou,{value},,,40\n")
        file.write("mean_box,sound,object,iou,0.111,0.1,0.2,40\n")
        file.write("copy_demonstration,sound,object,iou,0.05,0.01,0.2,40\n")
    study = read(run.folder)
    assert study.protocols == ["sound", "thesis"]
    assert [one.name for one in study.experiments] == list(EXPERIMENTS)
    text = run.page().text
    assert "protocol thesis" in text and "137.5" in text and "which has no intervals" in text
    assert "11.1 mean box" in text and "5.0 copy demonstration" not in text  # the best of them


def test_an_empty_table_is_an_error(run):
    (run.folder / "table.csv").write_text("experiment,protocol,task,metric,value,low,high,n\n")
    with pytest.raises(UserError, match="no number"):
        run.page()


def test_a_damaged_table_names_its_line(run):
    (run.folder / "table.csv").write_text(
        "experiment,protocol,task,metric,value,low,high,n\n"
        "sft,sound,object,iou,0.5,0.4,0.6,40\n"
        "grpo,sound,object,iou,much,0.4,0.6,40\n"
    )
    with pytest.raises(UserError, match="line 3"):
        run.page()


def test_all_published_numbers_are_shown_and_marked_as_not_comparable(run):
    page = run.page()
    assert Counter(row["source"] for row in published()) == {"lego_arta_paper": 15, "thesis": 3}
    for line in published():
        assert line["iou"] in page.text and line["fpr"] in page.text
        assert line["source"] == "thesis" or line["model"] in page.text
    assert "7B model, real data, own protocol: not comparable" in page.text
    assert "no number of this run can be compared with them" in page.text


def test_results_in_percent_with_intervals_best_marked_by_a_sign(run):
    better = {"difference": 0.2, "low": 0.1, "high": 0.3, "p_holm": 0.002}
    worse = {"difference": -0.2, "low": -0.3, "high": -0.1, "p_holm": 0.002}
    gains = {"grounding": ("f1_theme", better, worse), "state": ("fpr", worse, better)}
    compared = [
        {
            "baseline": a,
            "experiment": b,
            "tasks": {
                task: {"n": 40, "metrics": {metric: [first, second][i]}}
                for task, (metric, first, second) in gains.items()
            },
        }
        for i, (a, b) in enumerate((("few_shot", "sft"), ("sft", "grpo")))
    ]
    whole = {"protocol": "sound", "baseline": "few_shot", "comparisons": compared}
    for one in compared:
        for task in one["tasks"].values():
            task["main"] = next(iter(task["metrics"]))
    write_json(run.folder / "comparison.json", whole)
    page = run.page()
    blocks = result_tables.results(read(run.folder), "sound")
    assert [block.task for block in blocks] == ["object", "grounding", "state"]
    stars = {row.metric.name: [c.best for c in row.cells] for b in blocks for row in b.rows}
    assert stars["iou"] == [False, False, False]  # ahead, but not tested
    assert stars["f1_theme"] == stars["fpr"] == [False, True, False]  # of fpr, less is better
    assert "★ 70.0 65.0 – 75.0" in page.text and "☆" not in page.text


def test_experiments_keep_the_order_of_the_table_and_their_colour(run):
    run.table({name: SCORES[name] for name in ("sft", "grpo")})
    study = read(run.folder)
    assert [one.name for one in study.experiments] == ["sft", "grpo", "few_shot"]
    assert study.baseline.name == "few_shot"
    assert "No results were found for few_shot." in run.page().text
    assert [colour(one.index) for one in study.experiments] == ["e0", "e1", "e2"]


def test_the_slots_of_an_instruction_stand_in_a_table_of_their_own(run):
    with (run.folder / "table.csv").open("a") as file:
        file.write("sft,sound,grounding,colour_right,0.75,0.7,0.8,40\n")
        file.write("sft,sound,grounding,place_right,0.5,,,40\n")
        file.write("copy_demonstration,sound,grounding,colour_right,0.25,0.2,0.3,40\n")
    headings, *rows = table("slots", read(run.folder), "sound", "grounding")
    assert headings == ["Experiment", "Count", "Colour", "Size", "Kind", "Place"]
    assert rows == [
        ["sft", "–", "75.0 70.0–80.0", "–", "–", "50.0"],
        ["best without a model", "–", "25.0 20.0–30.0", "–", "–", "–"],
    ]
    assert "Say what to do: which part of the answer is right?" in run.page().text
    assert table("slots", read(run.folder), "sound", "object") == []
