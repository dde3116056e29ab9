"""`legor1 watch`: what it says of a run in whatever state, and that it only reads."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import pytest
import study_jobs
from watching import wait_for

from legor1.cli import main
from legor1.core.errors import UserError
from legor1.core.files import write_json
from legor1.core.layout import IN_RUN
from legor1.monitor import jobs, run_files, screen
from legor1.monitor.study_state import DONE, FAILED, RUNNING, STOPPED, WAITING, Run

CONFIG = study_jobs.CONFIG | {
    "inference": {"shards": 2},
    "evaluation": {"protocols": ["sound", "thesis"]},
}
JOBS = study_jobs.listed(CONFIG)
ESCAPE = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m"
EARLIER = 10_000  # seconds
PROGRESS = "grpo: 4/10 steps, reward=0.4, 00:12 elapsed, 00:24 left"


@pytest.fixture
def folder(tmp_path) -> Path:
    """A run that has just been started."""
    study_jobs.start(tmp_path, CONFIG)
    return tmp_path


def write(path: Path, content: str | bytes = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def do(folder: Path, *rules: str, of: str = "") -> None:
    """Do the jobs of the rules, of an experiment; all of them if none is named."""
    for job in JOBS:
        if (not rules or job.rule in rules) and of in job.of:
            for name in job.outputs:
                write(folder / name, json.dumps(CONFIG if name == run_files.CONFIG else {}) + "\n")


def train(folder: Path, name: str = "grpo", said: str = PROGRESS) -> Path:
    """Have an experiment train; return its log."""
    return write(folder / f"logs/train/{name}.log", f"FutureWarning: old\n{said}\n")


def states(folder: Path) -> dict[str, set[str]]:
    """Return stage → the states of its jobs."""
    found: dict[str, set[str]] = {}
    for one in Run(folder).jobs:
        found.setdefault(one.job.stage, set()).add(one.state)
    return found


def of(folder: Path, name: str) -> str:
    (found,) = (one.state for one in Run(folder).jobs if str(one.job) == name)
    return found


def said(folder: Path, now: float | None = None) -> str:
    """Return what the screen says at ``now``, in seconds since 1970: by default, the time."""
    return "\n".join(line.plain for line in screen.lines(Run(folder), now or time.time()))


def contents(folder: Path) -> dict[Path, tuple]:
    facts = ((path, path.stat()) for path in folder.rglob("*"))
    return {path: (one.st_mtime_ns, one.st_size, one.st_ino) for path, one in facts}


def test_at_the_start_all_waits(folder):
    assert {*states(folder)} == {*jobs.STAGES}
    assert set().union(*states(folder).values()) == {WAITING}
    assert said(folder).startswith(f"tiny: nothing runs, 0 of {len(JOBS)} jobs done\n○ data ")


def test_at_the_end_all_is_done(folder):
    do(folder)
    assert Run(folder).done
    assert said(folder).startswith(f"tiny: done, {len(JOBS)} of {len(JOBS)} jobs done\n✓ data ")
    assert "last sign of life" not in said(folder)


def test_a_job_runs_from_its_first_word_until_its_files_are_there(folder):
    write(folder / "logs/data/index_dataset.log", "reading\n")
    assert of(folder, "instances") == RUNNING
    assert "● data         0 of 7\n    ● running instances" in said(folder)
    do(folder, "index_dataset")
    assert of(folder, "instances") == DONE
    (folder / "data/instances.parquet").unlink()  # one of two
    assert of(folder, "instances") == RUNNING


def test_what_is_older_than_the_last_start_tells_nothing(folder):
    log = write(folder / "logs/data/index_dataset.log", "legor1 index: no. Remedy: yes.\n")
    assert of(folder, "instances") == FAILED
    age(log, EARLIER)
    assert of(folder, "instances") == WAITING


def test_a_job_that_ended_well_and_whose_files_are_gone_waits(folder):
    log = write(folder / "logs/compile_table.log", "")
    write(folder / "benchmarks/compile_table.tsv", "s\n")
    assert of(folder, "table of results") == WAITING
    age(folder / "benchmarks/compile_table.tsv", EARLIER)  # it is at work again
    assert log.exists() and of(folder, "table of results") == RUNNING


@pytest.mark.parametrize(
    ("log", "fails"),
    [
        ("legor1 index: tree is empty. Remedy: fetch it.\n", True),
        ("Traceback (most recent call last):\n  File\nZeroDivisionError: by zero\n", True),
        ("Traceback (most recent call last):\n  File\ntorch.OutOfMemoryError: CUDA\n\n", True),
        ("Traceback (most recent call last):\nError: x\nsft: 4/10 steps\n", False),
        ("index: instances 40\n", False),
        ("ValueError of some library, which went on\n", False),
        ("\n \n", False),
    ],
)
def test_the_end_of_a_log_tells_whether_the_job_failed(folder, log, fails):
    path = write(folder / "logs/data/index_dataset.log", log)
    assert of(folder, "instances") == (FAILED if fails else RUNNING)
    text = said(folder)
    assert (f"✗ failed: instances; its log: {path}\n    " in text) == fails
    if fails:
        assert log.strip().splitlines()[-1] in text and ", 1 failed" in text


def test_a_job_that_was_interrupted_has_stopped(folder):
    write(folder / "logs/predict/sft/0.log", "sft: 6/20 answers\nlegor1 predict: interrupted\n")
    assert of(folder, "answers of sft, shard 0") == STOPPED
    assert "    ‖ stopped answers of sft, shard 0: interrupted\n" in said(folder)
    assert ", 1 stopped" in said(folder)


def test_a_running_job_says_how_far_it_is(folder):
    log = train(folder)
    log.write_text(log.read_text() + "UserWarning: of some library\n")
    text = said(folder, log.stat().st_mtime + 0.2)
    assert (
        "    ● running training of grpo: 4/10 steps, reward=0.4, 00:12 elapsed, 00:24 left"
        "  last sign of life 0.2 s ago\n"
    ) in text
    assert of(folder, "training of sft") == WAITING
    write(folder / "logs/predict/few_shot/1.log", "few_shot: 6/20 answers, 00:03 elapsed, ? left\n")
    assert "● running answers of few_shot, shard 1: 6/20 answers, 00:03 elapsed" in said(folder)


def test_a_training_that_stopped_or_failed_says_so(folder):
    why = "training grpo stopped before its time was over, at step 4 of 10; run again"
    log = train(folder, said=f"{PROGRESS}\nlegor1 train: {why}")
    assert of(folder, "training of grpo") == STOPPED
    assert f"‖ stopped training of grpo: {why}\n" in said(folder)
    train(folder, said="legor1 train: training grpo ended with status 1; the reason is above")
    assert of(folder, "training of grpo") == FAILED
    assert f"its log: {log}\n    legor1 train: training grpo ended" in said(folder)


def test_a_long_silence_is_told_and_coloured(folder):
    age(folder / run_files.STARTED, 3 * EARLIER)
    age(write(folder / "logs/data/index_dataset.log", "…"), EARLIER)
    line, *_ = screen.lines(Run(folder), time.time())
    assert line.plain.endswith("last sign of life 2 h 46 min ago")
    assert "yellow" in {str(span.style) for span in line.spans}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"grpo: 0/0 steps, 00:00 elapsed, 00:00 left\n",
        b"grpo: 9/4 steps, 00:00 elapsed, :: left\n",
        b"grpo: " + b"9" * 400 + b"/" + b"9" * 401 + b" steps, 1 elapsed, " + b"9" * 400 + b" left",
        f"grpo: {ESCAPE} 1/2 steps, 0 elapsed, 1 left\n".encode(),
    ],
)
def test_half_written_and_hostile_logs_stop_nobody(folder, content):
    write(train(folder), content)
    harmless(said(folder))
    Run(folder).left()


def harmless(text: str) -> None:
    assert {one for one in text if unicodedata.category(one)[0] == "C"} <= {"\n"}


def test_no_control_character_reaches_the_terminal(tmp_path, capsys):
    folder = tmp_path / f"odd {ESCAPE}"
    experiments = {f"sft{ESCAPE}": {"method": "sft", "protocol": "a\nb"}}
    known = study_jobs.start(folder, CONFIG | {"run": ESCAPE, "experiments": experiments})
    job = next(job for job in known if "sft" in job.of)
    write(folder / job.log, f"legor1 train: {ESCAPE} no\n")
    assert main.main(["watch", str(folder), "--once"]) == 0
    text = capsys.readouterr().out
    assert "legor1 train:" in text and "]0;owned" in text
    harmless(text)


def test_a_name_that_no_file_can_have_stops_nobody(folder):
    for name in ("nul\0", "x" * 5000, "../../.."):
        study_jobs.start(folder, CONFIG | {"experiments": {name: {"method": "sft"}}})
        assert "nothing runs" in said(folder)


def test_pipes_and_folders_in_the_place_of_files_stop_nobody(folder):
    (folder / "logs/train/grpo.log").mkdir(parents=True)
    os.mkfifo(folder / "logs/train/sft.log")
    assert of(folder, "training of grpo") == RUNNING  # whatever it is, it was made
    assert of(folder, "training of sft") == RUNNING


def test_files_that_vanish_between_listing_and_reading_stop_nobody(folder, monkeypatch):
    train(folder)
    gone = OSError("gone")
    monkeypatch.setattr(Path, "open", lambda *_, **__: (_ for _ in ()).throw(gone))
    assert "nothing of it is known" in said(folder)
    run = Run(folder)
    run.config = CONFIG
    assert "tiny: " in screen.lines(run, 0.0)[0].plain


def test_a_folder_that_is_not_there_yet_is_waited_for(tmp_path, capsys):
    assert main.main(["watch", str(tmp_path / "later"), "--once", "--wait"]) == 0
    assert capsys.readouterr().out == f"later: nothing of it is known yet in {tmp_path}/later\n"


@pytest.mark.parametrize(
    "content",
    [[], {}, {"jobs": 1}, {"jobs": [1]}, {"jobs": [{"rule": "no_rule", "wildcards": {}}]}],
)
def test_what_is_no_list_of_jobs_is_a_users_error(folder, content):
    write_json(folder / IN_RUN.jobs, content)
    with pytest.raises(UserError, match=r"jobs\.json lists no jobs.*Remedy: delete it"):
        said(folder)


def test_jobs_whose_files_lie_elsewhere_are_not_looked_at(folder):
    content = json.loads((folder / IN_RUN.jobs).read_text())
    content["jobs"][0]["log"] = "../../secret"
    content["jobs"][1]["outputs"] = ["/etc/passwd"]
    write_json(folder / IN_RUN.jobs, content)
    assert len(Run(folder).jobs) == len(JOBS) - 2


@pytest.mark.parametrize("options", [[], ["--once"]], ids=str)
def test_a_misspelt_run_is_an_error_that_names_the_nearest(options, tmp_path, capsys):
    for name in ("study", "demo", "smoke"):
        write_json(tmp_path / name / run_files.STARTED, CONFIG)
    (tmp_path / "demos").mkdir()
    assert main.main(["watch", str(tmp_path / "dmeo"), *options]) == 2
    demo, smoke, study = (tmp_path / name for name in ("demo", "smoke", "study"))
    assert capsys.readouterr().err == (
        f"legor1 watch: {tmp_path}/dmeo does not exist. Did you mean {demo}? Remedy: name one of "
        f"{demo}, {smoke}, {study}, or give --wait if its study is starting.\n"
    )
    assert main.main(["watch", str(tmp_path / "none/demo"), *options]) == 2
    assert "Remedy: name the folder of a run, or give --wait" in capsys.readouterr().err


def test_nothing_is_written(folder, capsys):
    train(folder)
    do(folder, "index_dataset")
    before = contents(folder)
    assert main.main(["watch", str(folder), "--once"]) == 0
    assert contents(folder) == before
    assert "\x1b" not in capsys.readouterr().out


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "legor1.cli.main", "watch", *arguments]


def on_terminal(folder: Path, **environment: str) -> str:
    """Watch a finished study on a terminal of its own; return what it wrote there."""
    parent, child = pty.openpty()
    given = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    given |= {"TERM": "xterm", "COLUMNS": "60", "LINES": "40"} | environment
    done = subprocess.run(command(str(folder)), stdout=child, env=given, check=False, timeout=240)
    os.close(child)
    text = os.read(parent, 65536).decode()
    os.close(parent)
    assert done.returncode == 0
    return text


def test_a_terminal_gets_colour_unless_it_wants_none(folder):
    do(folder)
    assert "\x1b[32m✓" in on_terminal(folder)
    plain = on_terminal(folder, NO_COLOR="1")
    assert "✓" in plain and "\x1b[3" not in plain and "\x1b[1;3" not in plain


def test_ctrl_c_ends_it_in_good_order(folder):
    with subprocess.Popen(
        command(str(folder), "--every", "0.2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell has its background jobs ignore SIGINT, and so would this one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        for _ in range(3):  # it looks again and again
            wait_for(lambda: running.stdout.readline().startswith(b"tiny: nothing runs"))
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=240)
    assert (running.returncode, errors) == (0, b"")


def test_it_ends_when_all_is_done(folder):
    with subprocess.Popen(
        command(str(folder), "--every", "0.2"), stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout.readline().startswith("tiny: nothing runs")
        do(folder)
        text, _ = running.communicate(timeout=240)
    assert running.returncode == 0
    assert f"tiny: done, {len(JOBS)} of {len(JOBS)} jobs done\n" in text


def test_an_old_terminal_gets_signs_that_it_knows(folder):
    do(folder)
    given = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        command(str(folder), "--once"), capture_output=True, env=given, check=False, timeout=240
    )
    assert done.returncode == 0 and b"? data         7 of 7" in done.stdout
