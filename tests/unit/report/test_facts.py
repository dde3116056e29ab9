import pytest
from report_run import EXPERIMENTS, SCRIPT

from legor1.core.files import write_json
from legor1.report.sections import overview
from legor1.report.study import read


def test_what_was_run_and_what_not(full):
    study = read(full.folder)
    assert overview.counts(study)[0] == ["Find the parts (object)", "1", "1"]
    assert overview.quarantine(study) == [["odd " + SCRIPT, "2"]]
    assert ["Wall time", "not recorded", "1 min 05 s"] in overview.costs(study)
    not_run = full.page().text.partition("Not run")[2]
    assert "The real LEGO-ARTA" in not_run and "but with 1.6 million parameters" in not_run
    assert overview.data(study)["Tree"].striptags() == "1 files, 2.0 KiB"


def test_recipes_stand_side_by_side(run):
    assert overview.recipes(read(run.folder)) == [
        ["method", "baseline", "sft", "grpo"],
        ["demonstrations", "yes", "–", "–"],
        ["lora.r", "–", "8", "8"],
    ]


def test_the_steps_of_a_chain_are_added_up(run):
    chained = {"method": "grpo", "start_from": "sft"}
    untrained = {"method": "grpo", "start_from": "grpo"}
    run.configure(experiments=EXPERIMENTS | {"sft_grpo": chained, "far": untrained})
    for name, steps, start in (("sft", 1100, None), ("sft_grpo", 50, "sft"), ("far", 1, "grpo")):
        start = start and {"experiment": start, "adapter": "0" * 64}
        facts = {"steps": steps, "start_from": start}
        write_json(run.folder / f"adapters/{name}/run.json", facts)
    study = read(run.folder)
    assert [e.name for e in study.trained] == ["sft", "grpo", "sft_grpo", "far"]
    (row,) = [row for row in overview.costs(study) if row[0] == "Steps in all, with its start"]
    assert row[1:] == ["1,100", "not recorded", "1,150", "not recorded"]
    sources = "adapters/sft_grpo/run.json#/steps + adapters/sft/run.json#/steps"
    assert (row[3].value, row[3].source) == (1150, sources)
    starts = next(row for row in overview.recipes(study) if row[0] == "start_from")
    assert starts[1:] == ["–", "–", "–", "sft", "grpo"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(59.4, "59 s"), (60, "1 min 00 s"), (3720, "1 h 02 min")]
)
def test_duration(seconds, text):
    assert overview.duration(seconds) == text
