from report_run import EXPERIMENTS, SCRIPT, table

from legor1.core.files import write_json
from legor1.report.sections import overview
from legor1.report.study import read

FINDING = {
    "defect": "self_demo",
    "variant": "reasoning",
    "measured": "queries that show their own image",
    "value": 0.25,
    "low": 0.2,
    "high": 0.3,
    "chance": 0.0,
    "n": 40,
    "manuals": 5,
    "verdict": "found",
}


def comparison(low: float) -> dict:
    metric = {"difference": 0.25, "low": low, "high": 0.3, "p_holm": 0.0003}
    metrics = {"f1_50_labelled": metric, "iou": metric}
    task = {"n": 40, "main": "f1_50_labelled", "metrics": metrics}
    found = [{"baseline": "few_shot", "experiment": "sft", "tasks": {"object": task}}]
    return {"protocol": "sound", "baseline": "few_shot", "comparisons": found}


def test_differences_are_signed_points_with_their_interval(run):
    write_json(run.folder / "comparison.json", comparison(-0.05))
    names = ["sft", "few_shot", "Find the parts", "F1 of box and label"]
    assert table("differences", read(run.folder))[1:] == [
        [*names, "+25.0", "−5.0 to +30.0", "< 0.001"]
    ]
    assert "−5.0 to +30.0" in run.page().text  # in its cell of the results


def test_free_baselines_stand_beside_the_best_experiment(run):
    with (run.folder / "table.csv").open("a") as file:
        file.write("mean_box,sound,object,iou,0.111,0.1,0.2,40\n")
        file.write("always_yes,sound,state,fpr,1.0,1.0,1.0,40\n")
    headings, *rows = table("free_baselines", read(run.folder), "sound")
    assert headings == [
        "Metric",
        "always yes",
        "copy demonstration",
        "mean box",
        "previous instruction",
        "best experiment",
    ]
    assert rows == [
        ["Mean IoU", "–", "–", "11.1", "–", "45.0"],
        ["False-positive rate", "100.0", "–", "–", "–", "10.0"],  # the lowest is the best
    ]


def test_the_frame_diagnostic_is_shown_where_there_is_one(run):
    frame = {
        "iou": {"original": 0.14, "processed": 0.9, "converted_twice": 0.02},
        "best": "processed",
        "all": {
            "pairs": 1200,
            "x": {"slope": 0.8, "intercept": 0.1},
            "y": {"slope": None, "intercept": None},
        },
    }
    write_json(run.folder / "scores/sft/sound/scores.json", {"tasks": {"object": {"frame": frame}}})
    named = "pixels of the processed image"
    assert table("frames", read(run.folder))[1:] == [
        ["sft", "14.0", "90.0", named, "0.800", "–", "1,200"]
    ]
    assert (
        "▲ Frame. Read in another frame, the boxes of sft score clearly better" in run.page().text
    )
    frame["best"] = None
    write_json(run.folder / "scores/sft/sound/scores.json", {"tasks": {"object": {"frame": frame}}})
    assert "No experiment’s boxes fit another frame clearly better" in run.page().text


def test_what_the_rewards_pay_to_answers_that_know_nothing(run):
    earned = {"task": "object", "n": 9, "low": -0.2, "high": 0.01, "pays_too_much": False}
    probes = [
        earned | {"reward": "object", "probe": "nothing", "share": 0.0, "most": 0.0},
        earned
        | {"reward": "object", "probe": "a thousand boxes", "share": 0.6, "most": 0.25}
        | {"low": 0.3, "high": 0.4, "pays_too_much": True},
        earned | {"reward": "of another", "probe": "nothing", "share": 9.0, "most": 0.0},
    ]
    rewarded = EXPERIMENTS["grpo"] | {"training": {"rewards": {"object": 1.0}}}
    run.configure(experiments=EXPERIMENTS | {"grpo": rewarded})
    write_json(run.folder / "rewards/grpo.json", {"probes": probes[:1]})
    assert "None earns clearly more than it deserves" in run.page().text
    write_json(run.folder / "rewards/grpo.json", {"probes": probes})
    _, *rows = table("probes", read(run.folder))
    assert [row[3:] for row in rows] == [
        ["nothing", "0.0", "0.0", "−20.0 to +1.0", "○"],
        ["a thousand boxes", "60.0", "25.0", "+30.0 to +40.0", "▲ too much"],
    ]
    assert "Pays too much: object of grpo: a thousand boxes." in run.page().text


def test_the_audit_says_what_was_found_and_what_is_switched_on(run):
    findings = [
        FINDING,
        FINDING | {"value": None, "low": None, "high": None, "n": 0, "verdict": "not measured"},
    ]
    audit = {"defects_found": ["self_demo"], "findings": findings}
    write_json(run.folder / "data/leaky/audit.json", audit)
    run.configure(
        protocols={"leaky": {"defects": ["row_split", "self_demo"], "object_format": "json"}},
        experiments={name: one | {"protocol": "leaky"} for name, one in EXPERIMENTS.items()},
    )
    study = read(run.folder)
    assert overview.switches(study, "leaky") == "row_split, self_demo"
    measured = "queries that show their own image"
    assert table("findings", "leaky", study.audits["leaky"])[1:] == [
        ["self_demo", measured, "reasoning", "25.0", "20.0 to 30.0", "–", "40", "▲ found"],
        ["self_demo", measured, "reasoning", "–", "–", "–", "0", "not measured"],
    ]
    assert "▲ Found: self_demo." in run.page().text


def test_what_the_report_was_made_from_is_shown_with_dvcs_hashes(run):
    write_json(run.folder / "adapters/sft/run.json", {})
    write_json(run.folder / "work/checkpoint.json", {})
    run.page()  # no report is made from an earlier one
    headings, *rows = table("hashes", read(run.folder))
    assert headings == ["Output", "Files", "Size", "DVC hash (MD5)"]
    assert [row[0] for row in rows] == [
        "adapters/sft",
        "config.json",
        "table.csv",
    ]
    # As `dvc add` has them: {} and a line end, in a file and in a folder.
    assert rows[0][1:] == ["1", "3 bytes", "15225197c515dcc5cba0c7464f6a3d16.dir"]


def test_hostile_findings_are_shown_as_they_are(run):
    audit = {"defects_found": [], "findings": [FINDING | {"measured": SCRIPT}]}
    write_json(run.folder / "data/sound/audit.json", audit)
    page = run.page()
    assert SCRIPT in page.text and "script" not in {tag for tag, _ in page.elements}
