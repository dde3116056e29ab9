"""The command itself, its launcher and its processes, stopped and killed from outside."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import trainings
from watching import processes, saved, wait_for

from legor1.cli.command import STOPPED

pytestmark = pytest.mark.slow


def start(data, folder, recipe, *options) -> subprocess.Popen:
    """Start ``legor1 train``, its output going to ``folder/log``."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "legor1.cli.main", "train", "--recipe", json.dumps(recipe)]
    for name, path in data.items():
        command += [f"--{name}", str(path)]
    command += ["--work", str(folder / "work"), "--out", str(folder / "out"), *options]
    with (folder / "log").open("a") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def workers(folder) -> list[int]:
    """Return the processes, but the launcher, that were given the folder's job file."""
    return processes(lambda command: f"{folder}/work/" in command and "job.json" in command)


@pytest.fixture
def data(tmp_path):
    return trainings.write_data(tmp_path / "data")


def test_stopped_and_killed_it_ends_with_the_same_adapter(data, tmp_path):
    recipe = trainings.recipe("sft", processes=2, training={"steps": 24, "save_steps": 4})
    whole, hurt = tmp_path / "whole", tmp_path / "hurt"
    assert start(data, whole, recipe).wait(300) == 0, (whole / "log").read_text()

    training = start(data, hurt, recipe)
    wait_for(lambda: saved(hurt / "work"))
    for process in [training.pid, *workers(hurt)]:  # as a scheduler does
        os.kill(process, signal.SIGTERM)
    assert training.wait(240) == STOPPED, (hurt / "log").read_text()
    (stopped,) = saved(hurt / "work")
    said = (hurt / "log").read_text()
    assert f"training sft stopped as it was asked to, at step {stopped} of 24; run again" in said
    assert "Traceback" not in said
    assert not (hurt / "out/adapter").exists()

    training = start(data, hurt, recipe)
    wait_for(lambda: saved(hurt / "work")[-1:] > [stopped])
    training.kill()
    training.wait()
    wait_for(lambda: not workers(hurt))

    assert start(data, hurt, recipe).wait(300) == 0, (hurt / "log").read_text()
    files = ("out/adapter/adapter_model.safetensors", "out/adapter/adapter_config.json")
    for file in files:
        assert (hurt / file).read_bytes() == (whole / file).read_bytes()


def test_the_command_alone_is_asked_and_then_short_of_time(data, tmp_path):
    recipe = trainings.recipe("sft", training={"steps": 5000, "save_steps": 1000})
    training = start(data, tmp_path / "long", recipe)
    log = tmp_path / "long/log"
    wait_for(lambda: "sft: " in log.read_text())  # its first line of progress
    training.terminate()
    assert training.wait(240) == STOPPED
    (first,) = saved(tmp_path / "long/work")

    started = time.monotonic()
    training = start(data, tmp_path / "long", recipe, "--attempt", "2", "--minutes", "1.5")
    assert training.wait(240) == STOPPED
    assert time.monotonic() - started < 90
    (second,) = saved(tmp_path / "long/work")
    assert second > first
    assert f"stopped before its time was over, at step {second} of 5000" in log.read_text()

    training = start(data, tmp_path / "long", recipe, "--attempt", "3", "--minutes", "0.01")
    assert training.wait(240) == STOPPED  # a step more, however little time there is
    assert saved(tmp_path / "long/work") == [second + 1]
