import json
import multiprocessing
import os
import signal

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

from legor1.core.errors import Stopped
from legor1.planning.preflight import TINY_BASE
from legor1.training.base import build as building
from legor1.training.base import heldout
from legor1.training.base.build import Training, build, rate
from legor1.training.base.packing import Drawing
from legor1.training.base.untrained import NUMBERS, SINGLE_TOKENS


@pytest.fixture(autouse=True)
def few_cases(monkeypatch):
    monkeypatch.setattr(heldout, "BOOKLETS", 1)
    monkeypatch.setattr(heldout, "LONGEST", 2)


@pytest.fixture
def handlers():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
        signal.signal(number, handler)


def weights(training):
    return {name: value.clone() for name, value in training.objective.state_dict().items()}


@pytest.mark.parametrize(
    "stopped_at",
    [
        pytest.param(("vision", 2), marks=pytest.mark.slow),
        pytest.param(("vision", 4), marks=pytest.mark.slow),
        ("joint", 1),
    ],
)
def test_a_stopped_training_resumes_exactly(recipe, tmp_path, stopped_at):
    whole = Training(recipe, tmp_path / "whole.pt")
    whole.run()
    first = Training(recipe, tmp_path / "checkpoint.pt")
    update = first._update

    def update_and_ask(share):
        update(share)
        if (first.stage, first.step + 1) == stopped_at:
            first.stop()

    first._update = update_and_ask
    with pytest.raises(Stopped, match="run again"):
        first.run()
    second = Training(recipe, tmp_path / "checkpoint.pt")
    assert (second.stage, second.step) != ("joint", recipe["joint"]["steps"])
    second.run()
    expected, resumed = weights(whole), weights(second)
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)
    assert second.images == whole.images
    drop = ("seconds",)
    rows = [
        [{k: v for k, v in row.items() if k not in drop} for row in t.heldout]
        for t in (whole, second)
    ]
    assert rows[0] == rows[1]


def test_batches_depend_on_the_step_alone_and_differ_by_process(base, recipe):
    first, second = (Drawing(recipe, "joint", rank, base[1]) for rank in (0, 1))
    again = Drawing(recipe, "joint", 0, base[1])
    drawn = [*first.since(1)]
    assert len(drawn) == recipe["joint"]["steps"] - 1
    assert torch.equal(drawn[1].ids, again[2].ids) and torch.equal(drawn[1].pixels, again[2].pixels)
    assert drawn[0].ids.shape != drawn[1].ids.shape or not torch.equal(drawn[0].ids, drawn[1].ids)
    assert not torch.equal(first[2].pixels[:24], second[2].pixels[:24])


def test_the_rate_warms_up_stays_and_falls():
    rates = [rate(step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[20:350] == [1.0] * 330
    assert all(np.diff(rates[350:]) <= 0)
    assert rates[-1] == pytest.approx(0.02)


def test_a_signal_stops_it_and_the_next_run_writes_the_model(
    recipe, tmp_path, handlers, monkeypatch
):
    monkeypatch.setattr(building, "LOGGED", 1)
    keep, killed = Training._keep, []

    def keep_and_kill(training, steps):
        if training.stage == "joint" and not killed:
            for drawing in multiprocessing.active_children():  # as a signal to the whole group does
                os.kill(drawing.pid, signal.SIGTERM)
            killed.append(os.kill(os.getpid(), signal.SIGTERM))
        keep(training, steps)

    monkeypatch.setattr(Training, "_keep", keep_and_kill)
    with pytest.raises(Stopped, match="stage joint"):
        build(recipe, tmp_path / "work", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    build(recipe, tmp_path / "work", tmp_path / "out")
    log = [json.loads(line) for line in (tmp_path / "out/training_log.jsonl").open()]
    assert [(row["stage"], row["step"]) for row in log] == [
        (stage, step) for stage in ("vision", "joint") for step in (1, 2, 3, 4)
    ]
    curve = [json.loads(line) for line in (tmp_path / "out/heldout.jsonl").open()]
    assert [row["look"] for row in curve] == ["random", "manual"]
    card = (tmp_path / "out/README.md").read_text()
    assert "| look | " in card and "| manual | " in card
    assert json.loads((tmp_path / "out/recipe.json").read_text()) == recipe
    AutoProcessor.from_pretrained(tmp_path / "out")
    Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path / "out")


@pytest.mark.slow
def test_two_processes_learn_as_one_model(recipe, tmp_path, handlers):
    build(recipe | {"processes": 2}, tmp_path / "work", tmp_path / "out")
    log = [json.loads(line) for line in (tmp_path / "out/training_log.jsonl").open()]
    assert log[-1]["images"] >= 2 * 2 * 4 * recipe["joint"]["images"]


def test_a_short_training_learns_to_see(recipe, tmp_path):
    longer = recipe | {"vision": {"steps": 75, "images": 8, "learning_rate": 0.008}}
    training = Training(longer | {"joint": recipe["joint"] | {"steps": 1}}, tmp_path / "c.pt")
    training.run()
    seen = [row for row in training.history if row["stage"] == "vision"]
    assert seen[-1]["shown"] < 0.93 * seen[0]["shown"]
    assert seen[-1]["colour"] > seen[0]["colour"] + 0.03


def test_each_number_is_one_token_and_text_comes_back(base, tmp_path):
    tokenizer = base[1].tokenizer
    tokenizer.save_pretrained(tmp_path)
    loaded = type(tokenizer).from_pretrained(tmp_path)
    for text in (*SINGLE_TOKENS, "0", "7"):
        assert len(loaded(text)["input_ids"]) == 1, text
    text = 'Label "2 red 2x4 brick" at [12, 34, 56, 139], ümläut 積木.\n'
    assert loaded.decode(loaded(text)["input_ids"]) == text
    table = base[0].get_input_embeddings().weight
    near, far = (
        torch.cosine_similarity(*table[tokenizer.convert_tokens_to_ids(["100", str(other)])], dim=0)
        for other in (101, 420)
    )
    assert near > far and NUMBERS[-1] == 511


def test_the_shipped_model_is_a_whole_qwen():
    assert (TINY_BASE / "model.safetensors").stat().st_size <= 8e6
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(TINY_BASE)
    assert 1e6 <= sum(p.numel() for p in model.parameters()) <= 4e6
    processor = AutoProcessor.from_pretrained(TINY_BASE)
    assert len(processor.tokenizer("139")["input_ids"]) == 1
