import re

from report_run import EXPERIMENTS, SCORES, answers, macro

from legor1.core.files import write_json
from legor1.report import table_export
from legor1.report.study import read


def test_a_difference_is_claimed_only_where_its_interval_and_its_test_agree(run):
    pairs = [
        ("few_shot", "sft", "object", "f1_50_labelled", 0.25, 0.002),
        ("few_shot", "grpo", "object", "f1_50_labelled", 0.23, 0.002),
        ("sft", "grpo", "object", "f1_50_labelled", -0.02, 0.3),
        ("few_shot", "sft", "grounding", "exact", 0.2, 0.002),
        ("few_shot", "grpo", "grounding", "exact", -0.2, 0.002),
        ("sft", "grpo", "grounding", "exact", -0.4, 0.002),
    ]
    compared = [
        {"baseline": a, "experiment": b, "tasks": {task: {"n": 40, "metrics": {metric: numbers}}}}
        for a, b, task, metric, by, p in pairs
        for numbers in [{"difference": by, "low": by - 0.01, "high": by + 0.01, "p_holm": p}]
    ]
    found = {"protocol": "sound", "baseline": "few_shot", "comparisons": compared}
    write_json(run.folder / "comparison.json", found)
    study = read(run.folder)
    parts, say = (str(re.sub("<.*?>", "", s)) for s in answers(study))
    assert parts == (
        "Find the parts ◐ learnt in part (F1 of box and label): "
        "sft and grpo are clearly better than few_shot "
        "(45.0 and 43.0\N{NO-BREAK SPACE}% against 20.0\N{NO-BREAK SPACE}%); "
        "no clear difference between sft and grpo."
    )
    assert say == (
        "Say what to do ✓ learnt (exact instruction): sft is clearly better than few_shot "
        "(70.0\N{NO-BREAK SPACE}% against 50.0\N{NO-BREAK SPACE}%); "
        "grpo is clearly worse than few_shot "
        "(30.0\N{NO-BREAK SPACE}% against 50.0\N{NO-BREAK SPACE}%); "
        "sft is clearly better than grpo."
    )


def test_overlapping_intervals_are_no_clear_difference_however_far_the_values(run):
    wide = {"few_shot": (0.1, 0.0, 0.5), "sft": (0.9, 0.5, 1.0), "grpo": (0.6, 0.2, 0.9)}
    run.table({name: {"f1_50_labelled": numbers} for name, numbers in wide.items()})
    (said,) = answers(read(run.folder))
    assert "no clear difference between" in said and "clearly" not in said


def test_repeats_of_a_training_are_one_column_and_one_claim(run):
    again = {"sft_seed43": {"method": "sft", "seed": 43, "repeats": "sft"}}
    run.configure(seeds=[43], experiments=EXPERIMENTS | again)
    run.table(SCORES | {"sft_seed43": {"iou": (0.391, 0.36, 0.42)}})
    study = read(run.folder)
    assert [one.name for one in study.experiments] == list(EXPERIMENTS)
    scope = macro("_summary.html.j2", "scope", study, "sound")
    assert "run with 2 seeds (42 and 43)" in scope.striptags()
    text = run.page().text
    assert "other seeds: 39.1" in text and "A second seed." not in text
    assert "other seeds: 39.1" in table_export.rendered("results.md.j2", study)


def pairs(*compared: tuple[str, str, str, float, float]) -> dict:
    """Return a comparison of trainings with few_shot: (experiment, task, metric, by, p)."""
    return {
        "protocol": "sound",
        "baseline": "few_shot",
        "comparisons": [
            {"baseline": "few_shot", "experiment": name}
            | {"tasks": {task: {"n": 40, "main": metric, "metrics": {metric: numbers}}}}
            for name, task, metric, by, p in compared
            for numbers in [{"difference": by, "low": by - 0.01, "high": by + 0.01, "p_holm": p}]
        ],
    }


def test_the_headline_names_what_was_learnt_and_what_not(run):
    table = {
        "few_shot": {"f1_50_labelled": 0.2, "exact": 0.1, "balanced_accuracy": 0.5},
        "sft": {"f1_50_labelled": 0.7, "exact": 0.3, "balanced_accuracy": 0.7},
        "always_yes": {"balanced_accuracy": 0.5},
    }
    run.table({n: {m: (x, x - 0.02, x + 0.02) for m, x in own.items()} for n, own in table.items()})
    won, alike = (0.2, 0.002), (0.2, 0.2)
    tasks = {"object": "f1_50_labelled", "grounding": "exact", "state": "balanced_accuracy"}
    for state, ending in (
        (won, ", and in part to say exactly what to do and to check a step."),
        (alike, ", and in part to say exactly what to do, but not to check a step."),
    ):
        numbers = [
            ("sft", *tasks_of, *(state if tasks_of[0] == "state" else won))
            for tasks_of in tasks.items()
        ]
        write_json(run.folder / "comparison.json", pairs(*numbers))
        said = macro("_summary.html.j2", "headline", read(run.folder), "sound")
        assert said == "Training taught the model to find and name the parts" + ending
        assert said in run.page().text


def test_a_gain_that_leaves_nearly_all_wrong_is_not_learnt(run):
    run.table({"few_shot": {"exact": (0.02, 0.01, 0.03)}, "sft": {"exact": (0.06, 0.05, 0.07)}})
    numbers = pairs(("sft", "grounding", "exact", 0.04, 0.002))
    write_json(run.folder / "comparison.json", numbers)
    study = read(run.folder)
    assert "sft is clearly better" in answers(study)[0].striptags()
    assert macro("_summary.html.j2", "headline", study, "sound") == (
        "Training did not teach the model to say exactly what to do."
    )


def test_without_a_test_nothing_is_said_to_be_learnt(run):
    study = read(run.folder)
    assert macro("_summary.html.j2", "headline", study, "sound") == ""
    assert "learnt" not in " ".join(answers(study))


def test_the_best_answer_without_a_model_and_other_tasks_trainings_are_named(run):
    run.configure(experiments=EXPERIMENTS | {"grpo": {"method": "grpo", "tasks": ["object"]}})
    run.table(SCORES | {"previous_instruction": {"exact": (0.31, 0.3, 0.32)}})
    _, said = (one.striptags() for one in answers(read(run.folder)))
    assert "The best answer without a model scores 31.0 %." in said
    assert said.endswith("Not trained on this task: grpo.")


def test_what_the_answer_rests_on_stands_below_it(run):
    for name in EXPERIMENTS:
        tasks = {"object": {"clusters": 20}, "grounding": {"clusters": 20}}
        write_json(run.folder / f"scores/{name}/sound/scores.json", {"tasks": tasks})
    numbers = pairs(*((name, "object", "f1_50_labelled", 0.2, 0.01) for name in ("sft", "grpo")))
    write_json(run.folder / "comparison.json", numbers)
    assert macro("_summary.html.j2", "scope", read(run.folder), "sound").striptags() == (
        "40 and 40 test examples from 20 manuals · one training seed (42) · "
        "2 tests of main metrics, Holm-adjusted · point at a number for its source"
    )


def test_what_each_was_trained_on_stands_below_its_name(run):
    sft = {"method": "sft", "tasks": ["object"], "start_from": "grpo"}
    zero = {"zero_shot": {"method": "baseline", "demonstrations": False}}
    run.configure(experiments=EXPERIMENTS | {"sft": sft} | zero)
    run.table(SCORES | {"zero_shot": {"iou": (0.1, 0.05, 0.15)}})
    write_json(run.folder / "adapters/grpo/run.json", {"rows": 1220, "steps": 150})
    text = run.page().text
    assert "few_shot not trained worked examples in the prompt" in text
    assert "sft trained on object alone from grpo" in text
    assert "grpo trained on all tasks 1,220 prompts, 150 steps" in text
    assert "zero_shot not trained no worked examples" in text
    assert "zero_shot (neither examples nor training)" in text
    assert "sft (supervised fine-tuning, from grpo)" in text
