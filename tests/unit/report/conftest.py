import json

import pytest
from report_run import BREAKOUT, EXPERIMENTS, SCRIPT, TEMPLATE, Run, conversation, row, turn

from legor1.core.files import write_json, write_jsonl

THOUGHT = f"<think>{SCRIPT}</think>{TEMPLATE}"


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(tmp_path)


@pytest.fixture
def full(run) -> Run:
    """A run with all its files, hostile strings in every place that others can write."""
    name = "object/m/" + BREAKOUT
    label = json.dumps([{"bbox_2d": [10, 10, 90, 80], "label": SCRIPT + BREAKOUT}])
    run.image("a.png")
    for experiment, iou in zip(EXPERIMENTS, (0.4, 0.6, 0.9), strict=True):
        run.predict(
            experiment,
            row(),
            row(name, prediction=label, completion=label + SCRIPT, image=BREAKOUT),
            row("grounding/m/1", "grounding", completion=THOUGHT, reference=BREAKOUT),
            row("state/m/1", "state", completion="Yes.", prediction="Yes.", reference="No."),
            iou=[0.5, iou, 0, 0],
        )
    shown = [turn("Like this? " + SCRIPT, label, image=BREAKOUT)]
    asked = conversation(name, prompt="Where? " + SCRIPT, demonstrations=shown)
    write_jsonl(run.folder / "data/sound/plain/test.jsonl", [asked])
    write_jsonl(run.folder / "data/quarantine.jsonl", [{"reason": "odd " + SCRIPT}] * 2)
    split = {"protocol": "sound", "seed": 42, "test_fraction": 0.25}
    split |= {"tasks": {"object": {"train": 1, "test": 1}}}
    write_json(
        run.folder / "data/sound/split.json", split | {"train": ["object/x"], "test": [name]}
    )
    files = {"a.png": {"size": 2048, "sha256": "0" * 64}}
    write_json(run.folder / "data/manifest.json", {"files": files, "total_bytes": 2048})
    write_json(run.folder / "base/model.json", {"source": BREAKOUT, "files": {SCRIPT: "ab" * 32}})
    history = [
        {"step": s, "loss": 2.0 / s, "rewards/" + SCRIPT: 0.5, "reward": 0.5} for s in (1, 2)
    ]
    write_jsonl(run.folder / "adapters/grpo/history.jsonl", history)
    cost = {"seconds": 65, "peak_memory_mib": 900, "steps": 2, "rows": 8}
    size = {"trainable_parameters": 100, "total_parameters": 1_600_100}
    write_json(run.folder / "adapters/grpo/run.json", cost | size | {"provenance": {}})
    hostile = {"versions": {SCRIPT: BREAKOUT}, "host": {"processor": SCRIPT}, "commit": BREAKOUT}
    run.record("predictions/sft.jsonl", "gather", settings={"kind": TEMPLATE}, **hostile)
    run.record("scores/sft/sound/scores.json", "score", "predictions/sft.jsonl", seed=42)
    run.record("table.csv", "table", "scores/sft/sound/scores.json", BREAKOUT, dirty=True)
    experiments = EXPERIMENTS | {"sft": {"method": "sft", "note": SCRIPT}}
    run.configure(experiments=experiments, report={"title": "T " + BREAKOUT, "gallery": 4})
    return run
