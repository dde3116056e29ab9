"""A run's folder with every file that a report is made from, in a second and without a model.

The same ``words`` stand in each place that others can write: a model's answers, labels, ids, file
names, the config, reasons of errors, versions. With plain words it is a report as any other; with
hostile ones, nothing of the page but these words may differ.
"""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import study_jobs
from PIL import Image
from report_run import SCORES, conversation, record, row, turn

from legor1.evaluation.suites import label
from legor1.monitor import jobs
from legor1.report.page import render, render_rewards
from legor1.report.sections import result_tables

METHODS = {"few_shot": "baseline", "sft": "sft", "grpo": "grpo"}
STEPS = range(1, 61)


def write(folder: Path, words: str) -> list[Path]:
    """Write the run, and return its pages: every one that a report has, and Figure 1."""
    names = {kind: f"{kind} {_in_a_path(words)}" for kind in METHODS}
    _configure(folder, names, words)
    _score(folder, names, words)
    _compare(folder, names)
    _predict(folder, names, words)
    _prepare_data(folder, words)
    trainings = {names[kind]: folder / "adapters" / names[kind] for kind in ("sft", "grpo")}
    for training in trainings.values():
        _train(training, words)
    _probe(folder, names, words)
    _record(folder, names, words)
    _finish(folder)
    render(folder, folder / "report.html", folder / "tables", folder / "gallery.html")
    render_rewards(trainings, folder / "figure1.html")
    return sorted(folder.glob("*.html"))


def _in_a_path(words: str) -> str:
    """Return what of the words the name of a file can hold."""
    return words.replace("\0", "").encode("utf-8", "ignore").decode()[:60]


def _write(path: Path, *values: Any) -> None:
    """Write JSON, a line for each value; in ASCII, which can say all that JSON can."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in values))


def _configure(folder: Path, names: dict[str, str], words: str) -> None:
    hub = {"source": "huggingface", "huggingface": {"repo": words, "revision": words}}
    trained = {
        "lora": {"r": 8, "target": words},
        "training": {words: words, "steps": 60, "rewards": {words: 1.0}},
    }
    config = {
        "run": words,
        "seed": 42,
        "device": "cpu",
        "precision": words,
        "dataset": hub,
        "base": hub,
        "pixel_budget": {"min_pixels": 3136, "max_pixels": 120_000},
        "protocols": {"sound": {"defects": "none", "object_format": words}},
        "experiments": {
            names[kind]: {"method": method} | (trained if kind != "few_shot" else {})
            for kind, method in METHODS.items()
        },
        "evaluation": {"confidence": 0.95},
        "report": {"title": words, "gallery": 6},
    }
    _write(folder / "config.json", config)
    base = {"source": words, "revision": words, "files": {words: words}}
    _write(folder / "base/model.json", base)


def _score(folder: Path, names: dict[str, str], words: str) -> None:
    tasks = {one.name: one.task for one in result_tables.METRICS}
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["experiment", "protocol", "task", "metric", "value", "low", "high", "n"])
        for kind, metrics in SCORES.items():
            for metric, numbers in metrics.items():
                lines.writerow([names[kind], "sound", tasks[metric], metric, *numbers, 40])
        lines.writerow(["mean_box", "sound", "object", "iou", 0.1, 0.05, 0.15, 40])
        lines.writerow([names["sft"], "thesis", "object", "iou", 1.375, "", "", 40])
    ends = {axis: {"slope": 0.9, "intercept": 0.02} for axis in "xy"}
    iou = {"original": 0.5, "processed": 0.4, "converted_twice": 0.1}
    scores = {
        "tasks": {"object": {"frame": {"iou": iou, "best": None, "all": {"pairs": 120} | ends}}}
    }
    scores["interval"] = {"method": words, "replicates": 1000}
    for name in names.values():
        _write(folder / "scores" / name / "sound/scores.json", scores)


def _compare(folder: Path, names: dict[str, str]) -> None:
    metric = {"difference": 0.25, "low": 0.2, "high": 0.3, "p_holm": 0.002}
    task = {"n": 40, "main": "iou", "metrics": {"iou": metric}}
    first = {"baseline": names["few_shot"], "tasks": {"object": task}}
    found = [first | {"experiment": names[kind]} for kind in ("sft", "grpo")]
    whole = {"protocol": "sound", "baseline": names["few_shot"], "comparisons": found}
    _write(folder / "comparison.json", whole)


def _predict(folder: Path, names: dict[str, str], words: str) -> None:
    boxes = ([40, 30, 200, 150], [210, 30, 390, 250])
    said = json.dumps([{"bbox_2d": box, "label": words} for box in boxes])
    answers = {"prediction": said, "completion": f"<think>{words}</think>{said}"}
    image, ident = f"{_in_a_path(words)[:30]}.png", words.encode("utf-8", "ignore").decode()
    drawn = folder / "data/tree" / image
    drawn.parent.mkdir(parents=True)
    Image.new("RGB", (400, 300), (0, 90, 200)).save(drawn)
    rows = [
        *(row(f"object/{n} {ident}", image=image, reference=said, **answers) for n in range(4)),
        row(f"object/lost {ident}", image=words, reference=said, **answers),
        row(f"grounding/1 {ident}", "grounding", image=image, completion=words, reference=words),
        *(
            row(f"state/{n} {ident}", "state", image=image, completion=words, reference="Yes.")
            | {"prediction": answer}
            for n, answer in enumerate(("No.", words))
        ),
    ]
    scored = [{"instance_id": one["instance_id"], "task": one["task"]} for one in rows]
    frame = pd.DataFrame(one | {"iou": i / 8, "f1_theme": 0.5} for i, one in enumerate(scored))
    for name in names.values():
        _write(folder / "predictions" / f"{name}.jsonl", *rows)
        frame.to_parquet(folder / "scores" / name / "sound/per_example.parquet")
    shown = [turn(words, said, image)]
    asked = [
        conversation(one["instance_id"], one["task"], **turn(words, said, one["image"]))
        | {"demonstrations": shown}
        for one in rows
    ]
    _write(folder / "data/sound/plain/test.jsonl", *asked)


def _record(folder: Path, names: dict[str, str], words: str) -> None:
    """Write how each result was made: by a stage of these words, too."""
    said = {"commit": words, "dirty": True, "python": words, "platform": words, "devices": [words]}
    said |= {"versions": {"torch": words, words: "1.0"}, "settings": {"recipe": {"kind": words}}}
    said |= {"host": {"name": words, "processor": words, "memory_mib": 8}}
    made = {"data/sound": ["odd"], "table.csv": ["table", "data/sound", words]}
    for name in (names["sft"], names["grpo"]):
        made[f"adapters/{name}"] = [words, "data/sound"]
        made[f"predictions/{name}.jsonl"] = ["predict", f"adapters/{name}"]
        made["table.csv"].append(f"predictions/{name}.jsonl")
    for result, (stage, *inputs) in made.items():
        content = record(result, stage, *inputs, **said)
        _write(folder / f"{result}.provenance.json", content)


def _probe(folder: Path, names: dict[str, str], words: str) -> None:
    earned = {"reward": label(words), "task": "object", "probe": words, "n": 9, "share": 0.5}
    earned |= {"most": 0.25, "low": 0.1, "high": 0.2, "pays_too_much": True}
    _write(folder / f"rewards/{names['grpo']}.json", {"probes": [earned]})


def _finish(folder: Path) -> None:
    """Write all else that a finished study has, empty: nobody reads it."""
    study_jobs.note(json.loads((folder / "config.json").read_text()), folder)
    for job in jobs.missing(folder):
        for path in (folder / name for name in job.outputs):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def _prepare_data(folder: Path, words: str) -> None:
    data = folder / "data"
    _write(data / "quarantine.jsonl", {"reason": words}, {"reason": words})
    split = {"protocol": words, "seed": 42, "test_fraction": 0.25, "train": ["a"], "test": ["b"]}
    split["tasks"] = {"object": {"train": 120, "test": 40}}
    _write(data / "sound/split.json", split)
    finding = {"defect": words, "measured": words, "variant": words, "verdict": "found"}
    finding |= {"value": 0.25, "low": 0.2, "high": 0.3, "chance": 0.0, "n": 40}
    _write(data / "sound/audit.json", {"defects_found": [words], "findings": [finding]})
    files = {words: {"size": 2048, "sha256": "0" * 64}}
    _write(data / "manifest.json", {"files": files, "total_bytes": 2048})


def _train(folder: Path, words: str) -> None:
    parts = {f"rewards/{words}/mean": 0.5, "kl": 0.01, "entropy": 0.3}
    steps = [{"step": n, "loss": 2 / n, "reward": 0.5 + math.sin(n) / 9, **parts} for n in STEPS]
    _write(folder / "history.jsonl", *steps)
    cost = {"seconds": 65, "peak_memory_mib": 900, "steps": 60, "rows": 120}
    size = {"trainable_parameters": 100, "total_parameters": 1_600_100}
    _write(folder / "run.json", cost | size | {"provenance": {"commit": words, "dirty": True}})
