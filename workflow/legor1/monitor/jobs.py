"""The jobs of a study, as its config makes them: what each is for, what it leaves, where it logs.

Snakemake's rules decide what runs; this is the same for `watch` and the report, which cannot wait
for Snakemake. A test compares the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from legor1.core.errors import UserError
from legor1.monitor.run_files import changed
from legor1.tasks import baselines

STAGES = ("data", "trainings", "predictions", "scores", "results")
TRAININGS = ("train_sft", "train_grpo")
SIDES = ("train", "test")

Record = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One job of a study.

    Attributes:
        stage: one of ``STAGES``.
        what, of: what it makes, in words, and which one, if there is more than one.
        outputs, log: files below the run's folder.
        experiment: whose training or predictions it makes; empty for others.
        gathered: the file that holds its output once more, so that it may be gone.
    """

    stage: str
    rule: str
    what: str
    of: str
    outputs: tuple[str, ...]
    log: str
    experiment: str = ""
    gathered: str = ""

    @property
    def benchmark(self) -> str:
        """What Snakemake writes when it has ended well: time and memory, below the run's folder."""
        return self.log.replace("logs/", "benchmarks/", 1).removesuffix(".log") + ".tsv"

    def __str__(self) -> str:
        return f"{self.what} of {self.of}" if self.of else self.what

    def done(self, run: Path) -> bool:
        """Tell whether all that it makes is there."""
        made = all(changed(run / name) is not None for name in self.outputs)
        return made or (bool(self.gathered) and changed(run / self.gathered) is not None)


def listed(config: Record) -> list[Job]:
    """Return the jobs of a study in the order of its stages.

    Raises:
        UserError: this is no resolved config.
    """
    try:
        kinds = (_data, _trainings, _predictions, _scores, _results)
        return [job for kind in kinds for job in kind(config)]
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(
            f"the run's config lacks something that `legor1 config` writes ({error!r}). "
            "Remedy: write it again: legor1 config OVERLAY … --out RUN_DIR/config.json"
        ) from error


def missing(config: Record, run: Path) -> list[Job]:
    """Return the jobs whose files are not there, without the report and the parts of others."""
    parts = ("render_report", "predict_shard")
    return [job for job in listed(config) if job.rule not in parts and not job.done(run)]


def protocols(config: Record) -> list[str]:
    """Return the protocols of evaluation."""
    return list(config["evaluation"].get("protocols", ["sound"]))


def conversations(experiment: Record, side: str) -> str:
    """Return the conversations of ``train`` or ``test`` that an experiment is given."""
    protocol, variant = experiment.get("protocol", "sound"), experiment.get("variant", "plain")
    return f"data/{protocol}/{variant}/{side}.jsonl"


def _data(config: Record) -> Iterator[Job]:
    experiments = config["experiments"].values()
    prepared = sorted({one.get("protocol", "sound") for one in experiments})
    yield _datum("data", "fetch_dataset", "dataset", "manifest.json")
    yield from _prepared("data", prepared)
    for name in prepared:
        yield _datum("data", "audit_dataset", "audit", f"{name}/audit.json", protocol=name)
    if config["base"]["source"] == "rebuild":
        where = "base/data"
        yield _datum(where, "draw_base_scenes", "scenes of the base model", "manifest.json")
        yield from _prepared(where, ["sound"], " of the base model's scenes")
        files = ("tiny/model.safetensors", "tiny/config.json", "tiny/training_log.jsonl")
        yield _datum("base", "build_tiny_base", "training of the base model", *files)
    yield _datum("base", "fetch_base", "base model", "model.json")


def _prepared(data: str, prepared: list[str], whose: str = "") -> Iterator[Job]:
    files = ("instances.parquet", "quarantine.jsonl")
    yield _datum(data, "index_dataset", f"instances{whose}", *files)
    yield _datum(data, "fingerprint_images", f"image fingerprints{whose}", "images.parquet")
    for name in prepared:
        yield _datum(data, "split_dataset", f"split{whose}", f"{name}/split.json", protocol=name)
        kinds = [f"{variant}/{side}" for variant in ("plain", "reasoning") for side in SIDES]
        made = [f"{name}/{kind}.jsonl" for kind in kinds]
        yield _datum(data, "convert_dataset", f"conversations{whose}", *made, protocol=name)


def _datum(data: str, rule: str, what: str, *files: str, protocol: str = "") -> Job:
    log = f"logs/{data}/{protocol}/{rule}.log" if protocol else f"logs/{data}/{rule}.log"
    of = f"protocol {protocol}" if protocol else ""
    return Job("data", rule, what, of, tuple(f"{data}/{name}" for name in files), log)


def _trainings(config: Record) -> Iterator[Job]:
    pulled = config.get("adapters") == "pull"
    files = ("adapter/adapter_model.safetensors", "adapter/adapter_config.json")
    for name, one in config["experiments"].items():
        if one["method"] != "baseline":
            rule, what, log = f"train_{one['method']}", "training", f"logs/train/{name}.log"
            if pulled:
                rule, what, log = "pull_adapter", "adapter", f"logs/pull/{name}.log"
            outputs = [f"adapters/{name}/{f}" for f in (*files, "history.jsonl", "run.json")]
            yield Job("trainings", rule, what, name, tuple(outputs), log, name)


def _predictions(config: Record) -> Iterator[Job]:
    shards = config.get("inference", {}).get("shards", 1)
    for name in config["experiments"]:
        gathered, logs = f"predictions/{name}.jsonl", f"logs/predict/{name}"
        for i in range(shards):
            outputs, log = (f"predictions/{name}/shards/{i}.jsonl",), f"{logs}/{i}.log"
            of = f"{name}, shard {i}"
            yield Job("predictions", "predict_shard", "answers", of, outputs, log, name, gathered)
        log = f"{logs}/gather_predictions.log"
        yield Job("predictions", "gather_predictions", "predictions", name, (gathered,), log, name)
    files = tuple(f"predictions/{name}.jsonl" for name in baselines.NAMES)
    what, log = "predictions of what needs no model", "logs/answer_without_model.log"
    yield Job("predictions", "answer_without_model", what, "", files, log)


def _scores(config: Record) -> Iterator[Job]:
    for name in (*config["experiments"], *baselines.NAMES):
        for protocol in protocols(config):
            files = ("scores.json", "per_example.parquet")
            outputs = tuple(f"scores/{name}/{protocol}/{file}" for file in files)
            log, of = f"logs/score/{name}/{protocol}.log", f"{name}, protocol {protocol}"
            yield Job("scores", "score_predictions", "scores", of, outputs, log)


def _results(config: Record) -> Iterator[Job]:
    tables = [f"tables/results.{kind}" for kind in ("csv", "json", "md", "tex")]
    made = [("compile_table", "table of results", ["table.csv"])]
    if len(config["experiments"]) > 1:
        made.append(("compare_experiments", "comparison", ["comparison.json"]))
    pages = ["report.html", "gallery.html", "config.json"]
    made.append(("render_report", "report", [*pages, *tables]))
    for rule, what, files in made:
        yield Job("results", rule, what, "", tuple(files), f"logs/{rule}.log")
