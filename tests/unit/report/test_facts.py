import pytest
from report_run import EXPERIMENTS, SCRIPT, table

from legor1.core.files import write_json
from legor1.core.format import duration
from legor1.report.sections import overview
from legor1.report.study import read


def test_what_was_run_and_what_not(full):
    study = read(full.folder)
    assert table("counts", study)[1] == ["Find the parts (object)", "1", "1"]
    assert overview.quarantine(study) == [["odd " + SCRIPT, "2"]]
    assert "1 min 05 s" in full.page().text.partition("What it cost")[2]
    not_run = full.page().text.partition("Not run")[2]
    assert "The real LEGO-ARTA" in not_run and "but with 1.6 million parameters" in not_run
    assert "Tree 1 files, 2.0 KiB" in full.page().text


def test_settings_that_differ_stand_side_by_side(run):
    experiments = EXPERIMENTS | {
        "grpo": {"method": "grpo", "lora": {"r": 16}, "demonstrations": True}
    }
    run.configure(experiments=experiments)
    assert table("recipes", read(run.folder))[1:] == [
        ["method", "baseline", "sft", "grpo"],
        ["lora.r", "–", "8", "16"],  # demonstrations are alike
    ]


def test_the_steps_of_a_chain_are_added_up(run):
    chained = {"method": "grpo", "start_from": "sft"}
    untrained = {"method": "grpo", "start_from": "grpo"}
    run.configure(experiments=EXPERIMENTS | {"sft_grpo": chained, "far": untrained})
    for name, steps in (("sft", 1100), ("sft_grpo", 50), ("far", 1)):
        write_json(run.folder / f"adapters/{name}/run.json", {"rows": 8, "steps": steps})
    study = read(run.folder)
    steps = overview.steps_in_all(study, "sft_grpo")
    assert steps == "1,150" and overview.steps_in_all(study, "far") is None
    assert steps.source == "adapters/sft_grpo/run.json#/steps + adapters/sft/run.json#/steps"
    text = run.page().text
    assert "from sft, 1,150 steps in all" in text and "8 prompts, 1 steps from grpo" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(59.4, "59 s"), (60, "1 min 00 s"), (3720, "1 h 02 min")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text
