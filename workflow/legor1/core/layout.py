"""Where everything lies in the folder of a run: each name once, for all who write it or read it."""

from collections.abc import Callable
from pathlib import Path

Named = Callable[..., str]  # what it is called with stands in the path, in this order


class DataLayout:
    """Paths of a dataset and of what is made of it, each starting with ``root``."""

    def __init__(self, root: str) -> None:
        self.tree = f"{root}/tree"
        self.manifest = f"{root}/manifest.json"
        self.instances = f"{root}/instances.parquet"
        self.quarantine = f"{root}/quarantine.jsonl"
        self.images = f"{root}/images.parquet"
        # by protocol of data preparation
        self.split: Named = (root + "/{}/split.json").format
        self.audit: Named = (root + "/{}/audit.json").format
        # by protocol, variant and side, ``train`` or ``test``
        self.conversations: Named = (root + "/{}/{}/{}.jsonl").format


class RunLayout:
    """Paths of a run's files and folders, each starting with ``root``.

    Without a root they are relative to the run's folder, as sources and records have them. What
    takes a name takes a wildcard of Snakemake as well.
    """

    def __init__(self, root: Path | str = "") -> None:
        self.start = start = f"{root}/" if str(root) else ""
        # results
        self.report = start + "report.html"
        self.gallery = start + "gallery.html"
        self.figure1 = start + "figure1.html"
        self.table = start + "table.csv"
        self.comparison = start + "comparison.json"
        self.config = start + "config.json"  # the report's
        self.results_table: Named = (start + "tables/results.{}").format  # csv, json, md or tex
        self.data = DataLayout(start + "data")
        # the base model, and a tiny one that is rebuilt
        self.base_model = start + "base/model.json"
        self.tiny_base = start + "base/tiny"
        # by experiment: what its training leaves, and its answers
        self.adapter: Named = (start + "adapters/{}").format
        self.weights: Named = (start + "adapters/{}/adapter/adapter_model.safetensors").format
        self.adapter_config: Named = (start + "adapters/{}/adapter/adapter_config.json").format
        self.history: Named = (start + "adapters/{}/history.jsonl").format
        self.training: Named = (start + "adapters/{}/run.json").format  # its recipe and cost
        self.probe: Named = (start + "rewards/{}.json").format  # of its rewards
        self.predictions: Named = (start + "predictions/{}.jsonl").format
        self.shard: Named = (start + "predictions/{}/shards/{}.jsonl").format
        # by experiment and protocol of evaluation
        self.scores: Named = (start + "scores/{}/{}/scores.json").format
        self.per_example: Named = (start + "scores/{}/{}/per_example.parquet").format
        # by job; a benchmark is what Snakemake notes of one that ended well: time and memory
        self.log: Named = (start + "logs/{}.log").format
        self.benchmark: Named = (start + "benchmarks/{}.tsv").format
        # a study at work
        self.work = start + "work"
        self.started_config = start + "logs/config.json"
        self.jobs = start + "jobs.json"  # as Snakemake planned them
        # what each published defect moves
        self.ablation_page = start + "ablation.html"
        self.ablation_effects = start + "ablation.json"
        self.ablation_table = start + "ablation.csv"

    @property
    def ablation(self) -> "AblationLayout":
        """What an ablation makes on the way."""
        return AblationLayout(self.start + "ablation")


class AblationLayout(RunLayout):
    """Paths of an ablation: its adapters and predictions are called by a digest of their inputs."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.common = self.start + "common.json"  # the common test set
        self.test: Named = (self.start + "tests/{}/{}.jsonl").format  # by protocol and variant
        self.plan = self.start + "plan.json"  # which variant needs which training and prediction


DIALOGUES = "qwen_data/**/*.jsonl"  # a glob pattern: of LEGO-ARTA, below the dataset's folder
IN_RUN = RunLayout()
# What the report reads, as glob patterns; no record says how the list of jobs came about.
REPORTED = (
    IN_RUN.table, IN_RUN.comparison, IN_RUN.config, "data/*.json*", IN_RUN.data.split("*"),
    IN_RUN.data.audit("*"), IN_RUN.data.conversations("*", "plain", "test"),
    IN_RUN.data.conversations("*", "reasoning", "test"), IN_RUN.base_model, IN_RUN.training("*"),
    IN_RUN.history("*"), IN_RUN.predictions("*"), IN_RUN.probe("*"), "scores/*/*/*",
    IN_RUN.started_config, "work/*/progress.json", "work/*/history.jsonl",
)  # fmt: skip
_TRIED = IN_RUN.ablation
# What an ablation's plan reads, and what its measurement reads besides.
ABLATION_PLANNED = (
    _TRIED.data.conversations("*", "*", "train"), _TRIED.test("*", "*"),
    IN_RUN.data.conversations("*", "*", "train"),
)  # fmt: skip
ABLATION_MEASURED = (
    _TRIED.plan, _TRIED.common, _TRIED.predictions("*"), _TRIED.training("*"),
    IN_RUN.training("*"), _TRIED.data.audit("*"),
)  # fmt: skip
