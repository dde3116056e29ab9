"""Where everything lies in the folder of a run: each name once, for all who write it or read it."""

from pathlib import Path


class DataLayout:
    """Paths of a dataset and of what is made of it, each starting with ``root``."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.tree = f"{root}/tree"
        self.manifest = f"{root}/manifest.json"
        self.instances = f"{root}/instances.parquet"
        self.quarantine = f"{root}/quarantine.jsonl"
        self.images = f"{root}/images.parquet"

    def split(self, protocol: str) -> str:
        """Return the split of a protocol of data preparation."""
        return f"{self.root}/{protocol}/split.json"

    def audit(self, protocol: str) -> str:
        """Return the audit of a protocol of data preparation."""
        return f"{self.root}/{protocol}/audit.json"

    def conversations(self, protocol: str, variant: str, side: str) -> str:
        """Return the conversations of a side, ``train`` or ``test``, in a variant."""
        return f"{self.root}/{protocol}/{variant}/{side}.jsonl"


class RunLayout:
    """Paths of a run's files and folders, each starting with ``root``.

    Without a root they are relative to the run's folder, as sources and records have them. What
    takes a name takes a wildcard of Snakemake as well.
    """

    def __init__(self, root: Path | str = "") -> None:
        self._start = f"{root}/" if str(root) else ""
        # results
        self.report = self._path("report.html")
        self.gallery = self._path("gallery.html")
        self.figure1 = self._path("figure1.html")
        self.table = self._path("table.csv")
        self.comparison = self._path("comparison.json")
        self.config = self._path("config.json")  # the report's
        self.data = DataLayout(self._path("data"))
        # the base model, and a tiny one that is rebuilt
        self.base_model = self._path("base/model.json")
        self.tiny_base = self._path("base/tiny")
        # a study at work
        self.work = self._path("work")
        self.started_config = self._path("logs/config.json")
        self.jobs = self._path("jobs.json")  # as Snakemake planned them

    def results_table(self, kind: str) -> str:
        """Return the results table for other documents: csv, json, md or tex."""
        return self._path(f"tables/results.{kind}")

    def adapter(self, experiment: str) -> str:
        """Return the folder of what a training leaves."""
        return self._path(f"adapters/{experiment}")

    def weights(self, experiment: str) -> str:
        """Return the weights of an adapter."""
        return self._path(f"adapters/{experiment}/adapter/adapter_model.safetensors")

    def adapter_config(self, experiment: str) -> str:
        """Return the LoRA settings of an adapter."""
        return self._path(f"adapters/{experiment}/adapter/adapter_config.json")

    def history(self, experiment: str) -> str:
        """Return what a training logged."""
        return self._path(f"adapters/{experiment}/history.jsonl")

    def training(self, experiment: str) -> str:
        """Return the recipe and cost of a training."""
        return self._path(f"adapters/{experiment}/run.json")

    def predictions(self, experiment: str) -> str:
        """Return all predictions of an experiment."""
        return self._path(f"predictions/{experiment}.jsonl")

    def shard(self, experiment: str, shard: str) -> str:
        """Return the predictions of one shard."""
        return self._path(f"predictions/{experiment}/shards/{shard}.jsonl")

    def scores(self, experiment: str, protocol: str) -> str:
        """Return the scores of an experiment under a protocol of evaluation."""
        return self._path(f"scores/{experiment}/{protocol}/scores.json")

    def per_example(self, experiment: str, protocol: str) -> str:
        """Return the scores of each example."""
        return self._path(f"scores/{experiment}/{protocol}/per_example.parquet")

    def log(self, job: str) -> str:
        """Return the log of a job."""
        return self._path(f"logs/{job}.log")

    def benchmark(self, job: str) -> str:
        """Return what Snakemake notes of a job that ended well: time and memory."""
        return self._path(f"benchmarks/{job}.tsv")

    def _path(self, name: str) -> str:
        return self._start + name


IN_RUN = RunLayout()
# What the report reads, as glob patterns; no record says how the list of jobs came about.
REPORTED = (
    IN_RUN.table, IN_RUN.comparison, IN_RUN.config, "data/*.json*", IN_RUN.data.split("*"),
    IN_RUN.data.audit("*"), IN_RUN.data.conversations("*", "plain", "test"),
    IN_RUN.data.conversations("*", "reasoning", "test"), IN_RUN.base_model, IN_RUN.training("*"),
    IN_RUN.history("*"), IN_RUN.predictions("*"), "scores/*/*/*", IN_RUN.started_config,
    "work/*/progress.json", "work/*/history.jsonl",
)  # fmt: skip
