"""The report of a study at any stage: it shows what there is, says what is not, claims no more."""

import json
import random
import shutil

import pytest
import study_jobs
from reading_back import faults
from report_run import EXPERIMENTS, SCORES, Run, answers
from whole_run import fill, take_away, undo

from legor1.cli import main
from legor1.core.errors import UserError
from legor1.core.files import write_json, write_jsonl
from legor1.monitor import run_files
from legor1.report import study as report_study
from legor1.report.page import render
from legor1.report.sections import overview

KNOWN = study_jobs.listed(Run.__dataclass_fields__["config"].default_factory())
PARTS = [job for job in KNOWN if job.rule not in ("render_report", "predict_shard")]
FILES = sorted({name for job in PARTS for name in job.outputs})
SCORED = ("table.csv", "scores.json")
UNFINISHED = "This study is not finished."


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return fill(Run(tmp_path_factory.mktemp("whole")))


@pytest.fixture
def study(whole, tmp_path):
    """A whole run of this test's own."""
    shutil.copytree(whole.folder, tmp_path, dirs_exist_ok=True)
    copied = object.__new__(Run)
    copied.folder, copied.config = tmp_path, dict(whole.config)
    return copied


def judge(study: Run) -> None:
    """Hold a report to what is there: it names what is missing, and no number is made up."""
    page = study.page()
    assert faults(study.folder, page.source) == []
    lacking = [job for job in PARTS if not job.done(study.folder)]
    assert (UNFINISHED in page.text) == bool(lacking)
    for job in lacking:
        assert job.rule in page.text and job.what in page.text and job.of in page.text, job
    judge_claims(study)


def judge_claims(study: Run) -> None:
    """Nothing is said of an experiment that has no number."""
    read = report_study.read(study.folder)
    tabled = (study.folder / "table.csv").exists()
    for name in EXPERIMENTS:
        scored = (study.folder / f"scores/{name}/sound/scores.json").exists()
        known = {key for key in read.scores if key[3] == name}
        assert bool(known) == (tabled or scored)
        said = " ".join(answers(read))
        assert known or f">{name}<" not in said


def test_a_whole_study_is_finished(study):
    judge(study)
    assert report_study.read(study.folder).missing == ()


@pytest.mark.parametrize("name", FILES)
def test_without_any_one_file_there_is_a_report(study, name):
    take_away(study, name)
    judge(study)


@pytest.mark.parametrize("job", PARTS, ids=str)
def test_without_any_one_job_there_is_a_report(study, job):
    undo(study, job)
    judge(study)


@pytest.mark.parametrize("done", range(len(PARTS)))
def test_at_every_stage_there_is_a_report(study, done):
    undo(study, *PARTS[done:])
    judge(study)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_missing_there_is_a_report(study, seed):
    drawn = random.Random(seed)
    undo(study, *(job for job in PARTS if drawn.random() < 0.5))
    for name in FILES:
        if drawn.random() < 0.2:
            take_away(study, name)
    judge(study)


@pytest.mark.parametrize("folder", ["data", "base", "adapters", "predictions", "scores"])
def test_without_a_folder_there_is_a_report(study, folder):
    take_away(study, folder)
    judge(study)


def test_what_is_missing_is_one_entry_a_kind(study):
    scored = [job for job in PARTS if job.rule == "score_predictions"]
    undo(study, *(job for job in scored if "few_shot" not in job.of))
    text = study.page().text
    assert "scores: sft, protocol sound , grpo, protocol sound" in text
    assert text.count("score_predictions") == 1


def test_scores_that_are_not_compiled_are_shown_with_their_intervals(study):
    take_away(study, "table.csv")
    take_away(study, "scores/grpo")
    read = report_study.read(study.folder)
    score = read.score("sound", "object", "iou", read.experiments[1])
    assert (score.value, score.low, score.high, score.n) == (*SCORES["sft"]["iou"], 40)
    place = "scores/sft/sound/scores.json#/tasks/object"
    assert score.cited().source == f"{place}/iou"
    assert score.cited("low").source == f"{place}/intervals/iou/low"
    assert read.score("sound", "object", "iou", read.experiments[2]) is None
    assert "table of results" in study.page().text


def test_a_protocol_that_was_scored_first_does_not_lead(study):
    """And it has no intervals, as the thesis's has none."""
    study.configure(evaluation={"confidence": 0.95, "protocols": ["sound", "thesis"]})
    undo(study, *(job for job in PARTS if job.stage in ("scores", "results")))
    tasks = {"object": {"n": 40, "iou": 1.5}}
    scores = {"schema_version": 1, "protocol": "thesis", "tasks": tasks}
    for name in EXPERIMENTS:
        write_json(study.folder / f"scores/{name}/thesis/scores.json", scores)
    read = report_study.read(study.folder)
    assert read.protocols == ["sound", "thesis"]
    page = study.page()
    assert "150.0" in page.text and "clearly" not in page.text.partition("Results")[0]
    assert faults(study.folder, page.source) == []
    study.configure(evaluation={"confidence": 0.95, "protocols": ["thesis", "sound"]})
    page = study.page()
    assert "150.0 –" in page.text.replace("no interval", "–")
    assert faults(study.folder, page.source) == []


def test_files_that_come_and_go_are_not_hashed(study):
    (output, *_) = overview.hashes(report_study.read(study.folder)).values()
    assert "DVC hashes" in study.page().text and output.md5 in study.page().text
    take_away(study, "table.csv")
    assert "DVC hashes" not in study.page().text


def at_work(study: Run, *, last: str = "") -> None:
    """Have GRPO train: step 3 of 9, resumed after step 1; ``last`` ends its history."""
    undo(study, *(job for job in PARTS if job.of == "grpo"))
    folder = study.folder / "work/0123456789abcdef"
    write_json(folder / "job.json", {"recipe": {"experiment": "grpo"}})
    write_json(folder / "progress.json", {"schema_version": 1, "step": 3, "steps": 9})
    rows = [{"step": 1.0, "reward": 0.25}, {"resumed": 1.0, "step": 1.0}]
    write_jsonl(folder / "history.jsonl", [*rows, {"step": 2.0, "reward": 0.75}])
    with (folder / "history.jsonl").open("a") as file:
        file.write(last)


@pytest.mark.parametrize("last", ["", '{"step": 3.0, "rew', "\x00\xff", "[]\n"])
def test_the_curve_of_a_running_training_comes_from_its_work_folder(study, last):
    at_work(study, last=last)
    page = study.page()
    assert "Not done yet: step 3 of 9 . Interrupted, and resumed after step 1" in page.text
    assert "last: 0.75 at step 2" in page.text
    if not last.endswith("\n"):
        assert faults(study.folder, page.source) == []
    sources = page.all("data-source")
    assert "work/0123456789abcdef/history.jsonl#/2/reward" in sources
    assert "work/0123456789abcdef/progress.json#/steps" in sources


def test_a_finished_training_is_shown_as_it_was_published(study):
    at_work(study)
    write_jsonl(study.folder / "adapters/grpo/history.jsonl", [{"step": 1.0, "reward": 0.5}])
    write_json(study.folder / "adapters/grpo/run.json", {"seconds": 1.0})
    assert "Not done yet" not in study.page().text


def test_before_the_first_report_the_config_is_that_of_the_start(study):
    (study.folder / "logs").mkdir()
    (study.folder / run_files.CONFIG).rename(study.folder / run_files.STARTED)
    page = study.page()
    assert f"{run_files.STARTED}#/seed" in page.all("data-source")
    assert UNFINISHED in page.text and "render_report" in page.text
    assert faults(study.folder, page.source) == []


def test_a_study_that_was_started_with_other_settings_is_not_finished(study):
    write_json(study.folder / run_files.STARTED, study.config | {"seed": 7})
    assert report_study.read(study.folder).config["seed"] == 7
    assert UNFINISHED in study.page().text
    study.configure()  # and rendered since
    assert report_study.read(study.folder).config["seed"] == 42
    assert UNFINISHED not in study.page().text


def test_a_study_that_was_started_again_as_it_was_is_finished(study):
    write_json(study.folder / run_files.STARTED, study.config)
    assert UNFINISHED not in study.page().text


def test_nothing_but_a_config_makes_a_report(tmp_path):
    run = Run(tmp_path)
    for name in ("table.csv", "provenance.json"):
        take_away(run, name)
    text = run.page().text
    assert UNFINISHED in text and "There are no results yet." in text
    assert text.count("★") == text.count("★ clearly better than all others") == 1  # the legend


def test_without_any_config_it_says_what_to_do(tmp_path, capsys):
    given = ["report", str(tmp_path), "--out", str(tmp_path / "so-far.html")]
    assert main.main(given) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path}/config.json does not exist" in said
    assert "Remedy: start the study, or say what its config is: legor1 config OVERLAY" in said


@pytest.mark.parametrize("config", [[], {}, {"experiments": []}, {"experiments": {"a": 1}}])
def test_what_is_no_config_is_a_users_error(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="Remedy"):
        render(tmp_path, tmp_path / "so-far.html")


def test_the_tables_of_an_unfinished_study_hold_what_there_is(study):
    undo(study, *(job for job in PARTS if job.stage in ("scores", "results")))
    render(study.folder, study.folder / "so-far.html", study.folder / "so-far")
    rows = json.loads((study.folder / "so-far/results.json").read_text())
    assert {row["protocol"] for row in rows} == {"published"}
