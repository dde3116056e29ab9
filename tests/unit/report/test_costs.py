import shutil

from markupsafe import Markup
from report_run import EXPERIMENTS

from legor1.core.files import write_json
from legor1.report.sections import costs
from legor1.report.study import read


def train(run, seconds, gpu="", **changes) -> None:
    recipe = {"method": "sft", "device": "cuda" if gpu else "cpu", "threads": 2}
    facts = {"seconds": seconds, "peak_memory_mib": 2048.0, "recipe": recipe, "processes": 1}
    write_json(run.folder / "adapters/sft/run.json", facts | changes)
    devices = [f"NVIDIA {gpu}, 40960 MiB, 550.54.15"] if gpu else ["cpu"]
    run.record("adapters/sft", "train", settings={"recipe": recipe}, devices=devices)


def test_a_cpu_is_paid_by_its_cores_in_use(run):
    train(run, 3600)
    (use,) = costs.uses(read(run.folder))
    assert use.hours == "2 core-h" and use.device.striptags() == "A processor"


def test_every_gpu_of_a_training_is_paid_for(run):
    train(run, 7200, "A100-SXM4-40GB", processes=4)
    (use,) = costs.uses(read(run.folder))
    assert use.hours == "8 GPU-h" and "A100-SXM4-40GB" in use.device


def test_the_whole_study_is_the_sum_of_its_parts(run):
    train(run, 3600)
    for shard in (0, 1):
        run.record(f"predictions/sft/shards/{shard}.jsonl", "predict", wall_seconds=1800)
    run.record("data/tree", "synthesize", settings={"workers": 2}, wall_seconds=900)
    _, rows = costs.table(read(run.folder))
    shown = [[row[0], row[1], str(row[3]), Markup(row[4]).striptags()] for row in rows]
    assert shown == [
        ["sft", "training", "1 h 00 min", "2 core-h"],
        ["sft", "prediction", "1 h 00 min", "1 core-h"],
        ["sft", "together", "2 h 00 min", "3 core-h"],
        ["all", "the other stages", "15 min 00 s", "0.5 core-h"],
        ["all", "sum of all jobs", "2 h 15 min", "3.5 core-h"],
    ]


def test_repeats_with_other_seeds_are_paid_by_their_experiment(run):
    run.configure(experiments=EXPERIMENTS | {"again": EXPERIMENTS["sft"] | {"repeats": "sft"}})
    train(run, 3600)
    shutil.copytree(run.folder / "adapters/sft", run.folder / "adapters/again")
    _, rows = costs.table(read(run.folder))
    shown = [[row[0], row[1], str(row[3])] for row in rows]
    assert shown[:3] == [
        ["sft", "training", "1 h 00 min"],
        ["again", "training", "1 h 00 min"],
        ["sft", "together", "2 h 00 min"],
    ]


def test_gpu_hours_and_core_hours_are_not_added(run):
    train(run, 7200, "A100")
    run.record("data/tree", "synthesize", wall_seconds=3600)
    *_, whole = costs.table(read(run.folder))[1]
    assert whole[4].striptags() == "2 GPU-h, 1 core-h"


def test_a_training_that_was_taken_up_again_is_named(run):
    train(run, 60, resumed=[20])
    assert "Resumed from a checkpoint: sft." in run.page().text
