"""The lines that stand in for Snakemake's own: one for each job that ends, errors in full."""

import io
import logging
import time

import pytest
import study_jobs

from legor1.core.layout import IN_RUN
from legor1.monitor import console as module
from legor1.monitor.console import Console

CONFIG = {
    "run": "tiny",
    "base": {"source": "shipped"},
    "experiments": {"few_shot": {"method": "baseline"}, "sft": {"method": "sft"}},
    "evaluation": {"protocols": ["sound"]},
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Snakemake:
    """What Snakemake logs of the study in ``folder``, and what is shown of it."""

    def __init__(self, folder, stream) -> None:
        self.folder, self.stream, self.number = folder, stream, 0
        handler = logging.StreamHandler(self.stream)
        handler.addFilter(lambda record: record.levelno >= logging.INFO)
        self.console = Console(handler, folder)
        self.logger = logging.Logger("snakemake")
        self.logger.addHandler(handler)

    def log(self, event, **facts) -> None:
        self.logger.info(None, extra={"event": event, **facts})

    def begin(self, rule, log="", words="", **wildcards) -> None:
        self.number += 1
        path = self.folder / "logs" / log
        if log:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(words)
        about = {"rule_name": rule, "wildcards": wildcards, "log": [str(path)] if log else []}
        self.log("job_started", jobs=[self.number])
        self.log("job_info", jobid=self.number, **about)

    def end(self, done=1, total=20) -> str:
        """End the job that began last; return the line about it."""
        self.log("job_finished", job_id=self.number)
        before = len(self.stream.getvalue())
        self.log("progress", done=done, total=total)
        return self.stream.getvalue()[before:]


@pytest.fixture
def study(tmp_path, monkeypatch) -> Snakemake:
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    study_jobs.note(CONFIG, tmp_path)
    return Snakemake(tmp_path, io.StringIO())


def test_a_job_that_ends_is_one_line_with_what_it_made(study):
    study.begin("split_dataset", "split.log", "split: train 84, test 28\n", protocol="sound")
    assert study.stream.getvalue() == ""
    head, _, said = study.end(5, 37).partition("split of protocol sound: ")
    assert head.split() == ["5/37", "0.0", "s"]
    assert said == "0.0 s, train 84, test 28\n"


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("noise\nsft: 26/26 answers, 00:07 elapsed, 00:00 left\n", ", 26/26 answers"),
        ("sft: 26/? answers, 00:07 elapsed, ? left\n", ", 26/? answers"),
        ("", ","),
        ("Warning without a colon\n", ","),
    ],
)
def test_of_progress_the_count_alone_is_shown(study, words, number):
    study.begin("predict_shard", "p.log", words, experiment="sft", shard="0")
    assert study.end().endswith(f"answers of sft, shard 0: 0.0 s{number}\n".replace(",\n", "\n"))


def test_the_line_of_a_job_is_short_whatever_it_says(study):
    study.begin("index_dataset", "i.log", "index: " + ", ".join(f"fact {n}" for n in range(200)))
    assert "fact 0, fact 1," in (said := study.end())
    assert len(said) < 170 and said.endswith(" …\n")


def test_a_training_shows_its_last_progress(study):
    said = "sft: 2/2 steps, loss=0.412, 00:08 elapsed, 00:00 left\nFutureWarning: old\n"
    study.begin("train_sft", "train/sft.log", said, experiment="sft")
    assert study.end().endswith("training of sft: 0.0 s, 2/2 steps, loss=0.412\n")


def test_the_last_line_names_the_report(study):
    study.begin("all")
    assert study.end(20, 20).endswith(f"all: 0.0 s, {study.folder / 'report.html'}\n")


def test_a_rule_of_another_workflow_has_its_name(study):
    study.begin("count_rows", "count.log", "3\n")
    assert study.end().endswith("count_rows: 0.0 s\n")


def test_an_error_is_left_to_snakemake_which_shows_the_log(study):
    study.begin("score_predictions", "s.log", experiment="sft", evaluation="sound")
    study.logger.error("Error in rule", extra={"event": "job_error", "jobid": 1})
    study.logger.error("Error in rule", extra={"event": "job_error", "jobid": 1})
    assert study.stream.getvalue() == 2 * "Error in rule\n"
    assert study.console.running == {}


def test_what_is_not_about_a_job_passes_snakemakes_own_filters(study):
    study.logger.info("SLURM run ID: x")
    study.logger.debug("solver")
    study.logger.error("AmbiguousRuleException", extra={"event": "error"})
    assert study.stream.getvalue() == "SLURM run ID: x\nAmbiguousRuleException\n"


def test_a_damaged_list_of_jobs_costs_the_time_left_alone(study):
    (study.folder / IN_RUN.jobs).write_text("{")
    study.begin("compile_table", "t.log")
    assert study.end().endswith("table of results: 0.0 s\n")


def test_the_time_left_of_the_study_is_shown_once_it_is_known(study):
    for name in ("few_shot", "sft"):
        (study.folder / "benchmarks/predict" / name).mkdir(parents=True)
    finish(study.folder, "predict_shard", "few_shot", 30)
    log = study.folder / IN_RUN.log("train/sft")
    log.parent.mkdir(parents=True)
    log.write_text("sft: 4/10 steps, loss=0.4, 00:16 elapsed, 00:24 left\n")
    study.begin("compile_table", "t.log")
    assert "  about 54 s left  " in study.end()  # 6 steps of 4 s, then answers for 30 s
    study.begin("compile_table", "t.log")
    assert " left " not in study.end(20, 20)  # a part of the study was asked for


def finish(folder, rule, experiment, seconds):
    path = folder / IN_RUN.shard(experiment, "0")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}\n")
    benchmark = folder / IN_RUN.benchmark(f"predict/{experiment}/0")
    benchmark.write_text(f"s\th:m:s\tmax_rss\n{seconds}.0\t0:00:30\t100.0\n")


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_running_jobs_are_told_of_now_and_then(tmp_path, monkeypatch, stream):
    monkeypatch.setattr(module, "REPEATED", 0.01)
    monkeypatch.setattr(module, "REDRAWN", 0.01)
    study = Snakemake(tmp_path, stream())
    progress = "sft: 4/10 steps, reward=0.5, 00:08 elapsed, 00:12 left"
    study.begin("train_sft", "t.log", f"{progress}\nFutureWarning: old\n", experiment="sft")
    end = time.monotonic() + 20
    while progress not in study.stream.getvalue():
        assert time.monotonic() < end, study.stream.getvalue()
        time.sleep(0.01)
    time.sleep(0.2)
    said = study.stream.getvalue()
    if stream is Terminal:  # one line, drawn over itself
        assert "\n" not in said and f"\x1b[2K{progress}\r" in said
    else:
        assert said == f"{progress}\n"  # nothing new since
    study.log("job_finished", job_id=1)
