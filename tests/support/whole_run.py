"""A run's folder in which every job of the study is done, and what is taken away again."""

import shutil

import study_jobs
from report_run import EXPERIMENTS, SCORES, Run, conversation, row

from legor1.core.files import write_json, write_jsonl
from legor1.monitor.jobs import Job
from legor1.report.sections import result_tables
from legor1.tasks.baselines import NAMES

TASKS = {one.name: one.task for one in result_tables.METRICS}


def scores_of(experiment: str) -> dict:
    """Return what ``scores.json`` has of an experiment, or of a baseline without a model."""
    tasks: dict = {}
    for metric, (value, low, high) in SCORES.get(experiment, {"iou": (0.1, 0.05, 0.2)}).items():
        one = tasks.setdefault(TASKS[metric], {"n": 40, "intervals": {}})
        one |= {metric: value}
        one["intervals"][metric] = {"low": low, "high": high}
    interval = {"method": "bootstrap", "replicates": 99, "confidence": 0.95, "seed": 42}
    return {"schema_version": 1, "protocol": "sound", "interval": interval, "tasks": tasks}


def comparison() -> dict:
    numbers = {"difference": 0.25, "low": 0.2, "high": 0.3, "p_holm": 0.002}
    one = {"n": 40, "main": "iou", "missing": {}, "metrics": {"iou": numbers}}
    compared = [
        {"baseline": "few_shot", "experiment": name, "tasks": {"object": one}}
        for name in ("sft", "grpo")
    ]
    return {"protocol": "sound", "baseline": "few_shot", "comparisons": compared}


def fill(run: Run) -> Run:
    """Do every job of the study."""
    run.image("a.png")
    for name in EXPERIMENTS:
        run.predict(name, row(), row("object/m/2_eop"), iou=[0.4, 0.6])
    for name in (*EXPERIMENTS, *NAMES):
        write_json(run.folder / f"scores/{name}/sound/scores.json", scores_of(name))
    run.table({name: SCORES.get(name, {"iou": (0.1, 0.05, 0.2)}) for name in (*SCORES, *NAMES)})
    write_json(run.folder / "comparison.json", comparison())
    for name, numbers in (("sft", {}), ("grpo", {"reward": 0.5})):
        history = [{"step": float(s), "loss": 1.0 / s} | numbers for s in (1, 2, 3)]
        write_jsonl(run.folder / f"adapters/{name}/history.jsonl", history)
        facts = {"seconds": 65, "peak_memory_mib": 900, "steps": 3, "rows": 8, "resumed": []}
        size = {"trainable_parameters": 100, "total_parameters": 1_600_100}
        write_json(run.folder / f"adapters/{name}/run.json", facts | size | {"provenance": {}})
    write_json(run.folder / "rewards/grpo.json", {"probes": []})
    write_json(run.folder / "data/sound/audit.json", {"defects_found": [], "findings": []})
    split = {"protocol": "sound", "seed": 42, "test_fraction": 0.25, "train": ["x"], "test": ["y"]}
    tasks = {"tasks": {"object": {"train": 1, "test": 1}}}
    write_json(run.folder / "data/sound/split.json", split | tasks)
    asked = [conversation(row()["instance_id"])]
    write_jsonl(run.folder / "data/sound/plain/test.jsonl", asked)
    write_json(run.folder / "data/manifest.json", {"files": {"a.png": {}}, "total_bytes": 2048})
    write_jsonl(run.folder / "data/quarantine.jsonl", [{"reason": "odd"}])
    write_json(run.folder / "base/model.json", {"source": "shipped", "files": {}})
    for job in study_jobs.note(run.config, run.folder):
        for name in job.outputs if job.rule not in ("render_report", "predict_shard") else ():
            path = run.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()  # what nobody reads
    return run


def take_away(run: Run, name: str) -> None:
    """Remove a file or folder of the run, if it is there."""
    path = run.folder / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def undo(run: Run, *done: Job) -> None:
    """Remove what jobs have made."""
    for job in done:
        for name in job.outputs:
            take_away(run, name)
