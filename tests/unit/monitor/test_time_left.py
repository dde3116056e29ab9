"""The time left of a study: from what its jobs took so far, and nothing before that is known."""

import time

import pytest
import study_jobs

from legor1.core.layout import IN_RUN
from legor1.monitor import screen
from legor1.monitor.study_state import Run

EXPERIMENTS = study_jobs.CONFIG["experiments"] | {"sft_grpo": {"method": "grpo"}}


@pytest.fixture
def folder(tmp_path):
    study_jobs.start(tmp_path, study_jobs.CONFIG | {"experiments": EXPERIMENTS})
    return tmp_path


def finish(folder, rule: str, seconds: float, of: str = "") -> None:
    """Do the jobs of a rule, of an experiment, each in so many seconds."""
    for seen in Run(folder).jobs:
        if seen.job.rule == rule and of in seen.job.of:
            noted = f"s\th:m:s\n{seconds:.4f}\t0:00:01\n"
            for name, text in [(seen.job.benchmark, noted), *((o, "{}") for o in seen.job.outputs)]:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text)


def train(folder, name: str, left: str) -> None:
    """Have an experiment train: half of its steps are done."""
    log = folder / IN_RUN.log(f"train/{name}")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(f"{name}: 5/10 steps, loss=0.4, 00:50 elapsed, {left} left\n")


def test_nothing_is_known_before_each_long_rule_has_been_measured(folder):
    assert Run(folder).left() is None
    train(folder, "sft", "00:50")
    train(folder, "grpo", "03:20")
    assert Run(folder).left() is None  # predictions
    finish(folder, "predict_shard", 30.0, "few_shot")
    assert Run(folder).left() is not None


def test_the_rest_of_trainings_and_what_waits_like_those_that_are_known(folder):
    finish(folder, "predict_shard", 300.0, "few_shot")
    train(folder, "sft", "00:50")
    train(folder, "grpo", "03:20")  # 200 s left, 400 s in all, as sft_grpo
    assert Run(folder).left() == pytest.approx((50 + 200 + 400 + 3 * 300) / 2)  # two run
    assert Run(folder).left(lanes=3) == pytest.approx((50 + 200 + 400 + 3 * 300) / 3)
    assert Run(folder).left(lanes=20) == pytest.approx(400)  # one job cannot be divided


def test_short_jobs_count_as_far_as_they_are_known(folder):
    for rule in ("predict_shard", "train_sft", "train_grpo"):
        finish(folder, rule, 30.0)
    assert Run(folder).left() == 0
    finish(folder, "score_predictions", 5.0, "few_shot")
    assert Run(folder).left() == pytest.approx(5.0 * 7)


def test_a_damaged_benchmark_counts_as_none(folder):
    finish(folder, "predict_shard", 30.0)
    for path in folder.rglob("predict/**/*.tsv"):
        path.write_text("s\th:m:s\n")
    assert Run(folder).left() is None


def test_those_who_watch_read_the_same_number(folder):
    finish(folder, "predict_shard", 30.0)
    finish(folder, "train_grpo", 100.0)
    train(folder, "sft", "00:50")
    heading, *_ = screen.lines(Run(folder), time.time())
    assert "jobs done, about 50 s left  last sign" in heading.plain
