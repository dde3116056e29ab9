"""What Snakemake plans for a study, from its config alone, for tests that cannot wait for it.

``tests/pipeline/test_jobs.py`` compares it with Snakemake's own plan.
"""

import tempfile
from pathlib import Path
from types import SimpleNamespace

from legor1.core.files import write_json
from legor1.monitor import jobs, run_files
from legor1.monitor.jobs import Job
from legor1.tasks import baselines

RUN = "results/run"
CONFIG = {
    "run": "tiny",
    "base": {"source": "shipped"},
    "experiments": {
        "few_shot": {"method": "baseline"},
        "sft": {"method": "sft"},
        "grpo": {"method": "grpo"},
    },
    "evaluation": {"protocols": ["sound"]},
}


def planned(config: dict) -> list[SimpleNamespace]:
    """Return the study's jobs, each as Snakemake would have it, in no order."""
    kinds = (goal, data, trainings, predictions, scores, results)
    return [job for kind in kinds for job in kind(config)]


def note(config: dict, folder: Path) -> list[Job]:
    """Write the jobs of the study in ``folder`` as Snakemake's start would; return them."""
    moved = [
        SimpleNamespace(
            name=job.name,
            wildcards_dict=job.wildcards_dict,
            output=[path.replace(RUN, str(folder), 1) for path in job.output],
            log=[path.replace(RUN, str(folder), 1) for path in job.log],
            benchmark=job.benchmark and job.benchmark.replace(RUN, str(folder), 1),
        )
        for job in planned(config)
    ]
    jobs.note(moved, folder, [*config["experiments"], *baselines.NAMES])
    return jobs.read(folder)


def start(folder: Path, config: dict) -> list[Job]:
    """Start a study, as Snakemake notes it; return its jobs."""
    write_json(folder / run_files.STARTED, config)
    return note(config, folder)


def listed(config: dict) -> list[Job]:
    """Return the study's jobs, as those who watch it read them."""
    with tempfile.TemporaryDirectory() as folder:
        return note(config, Path(folder))


def job(rule: str, outputs, log: str = "", **wildcards: str) -> SimpleNamespace:
    return SimpleNamespace(
        name=rule,
        wildcards_dict=wildcards,
        output=[f"{RUN}/{name}" for name in outputs],
        log=[f"{RUN}/logs/{log}.log"] if log else [],
        benchmark=f"{RUN}/benchmarks/{log}.tsv" if log else None,
    )


def goal(config):
    yield job("all", [])


def data(config):
    prepared = sorted({one.get("protocol", "sound") for one in config["experiments"].values()})
    yield job("fetch_dataset", ["data/manifest.json"], "data/fetch_dataset")
    yield from preparation("data", prepared)
    for name in prepared:
        log, given = f"data/{name}/audit_dataset", {"protocol": name}
        yield job("audit_dataset", [f"data/{name}/audit.json"], log, **given)
    if config["base"]["source"] == "rebuild":
        names = ("model.safetensors", "config.json", "training_log.jsonl", "heldout.jsonl")
        yield job("build_tiny_base", [f"base/tiny/{n}" for n in names], "base/build_tiny_base")
    yield job("fetch_base", ["base/model.json"], "base/fetch_base")


def preparation(root: str, prepared: list[str]):
    outputs = [f"{root}/{name}" for name in ("instances.parquet", "quarantine.jsonl")]
    yield job("index_dataset", outputs, f"{root}/index_dataset")
    images = [f"{root}/images.parquet"]
    yield job("fingerprint_images", images, f"{root}/fingerprint_images")
    for name in prepared:
        folder, given = f"{root}/{name}", {"protocol": name}
        yield job("split_dataset", [f"{folder}/split.json"], f"{folder}/split_dataset", **given)
        kinds = [f"{v}/{side}" for v in ("plain", "reasoning") for side in ("train", "test")]
        outputs = [f"{folder}/{kind}.jsonl" for kind in kinds]
        yield job("convert_dataset", outputs, f"{folder}/convert_dataset", **given)


def trainings(config):
    files = ("adapter/adapter_model.safetensors", "adapter/adapter_config.json")
    for name, one in config["experiments"].items():
        if one["method"] != "baseline":
            outputs = [f"adapters/{name}/{f}" for f in (*files, "history.jsonl", "run.json")]
            yield job(f"train_{one['method']}", outputs, f"train/{name}", experiment=name)


def predictions(config):
    for name in config["experiments"]:
        for i in range(config.get("inference", {}).get("shards", 1)):
            outputs, log = [f"predictions/{name}/shards/{i}.jsonl"], f"predict/{name}/{i}"
            yield job("predict_shard", outputs, log, experiment=name, shard=str(i))
        log = f"predict/{name}/gather_predictions"
        yield job("gather_predictions", [f"predictions/{name}.jsonl"], log, experiment=name)
    outputs = [f"predictions/{name}.jsonl" for name in baselines.NAMES]
    yield job("answer_without_model", outputs, "answer_without_model")


def scores(config):
    for name, one in config["experiments"].items():
        if one["method"] == "grpo" and not one.get("repeats"):
            outputs = [f"rewards/{name}.json"]
            yield job("probe_rewards", outputs, f"probe/{name}", experiment=name)
    for name in (*config["experiments"], *baselines.NAMES):
        for protocol in config["evaluation"].get("protocols", ["sound"]):
            folder, given = (
                f"scores/{name}/{protocol}",
                {"experiment": name, "evaluation": protocol},
            )
            outputs = [f"{folder}/{file}" for file in ("scores.json", "per_example.parquet")]
            yield job("score_predictions", outputs, f"score/{name}/{protocol}", **given)


def results(config):
    yield job("compile_table", ["table.csv"], "compile_table")
    if len(config["experiments"]) > 1:
        yield job("compare_experiments", ["comparison.json"], "compare_experiments")
    tables = [f"tables/results.{kind}" for kind in ("csv", "json", "md", "tex")]
    outputs = ["report.html", "gallery.html", "config.json", *tables]
    yield job("render_report", outputs, "render_report")
