"""What is missing to run a config on this machine, found before any long work.

require(config, results=Path("results/study"), rules={"train_sft", …})
"""

import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator
from importlib.util import find_spec
from pathlib import Path

from legor1.config.models import PATTERNS, Base, Config, Dataset, Hub
from legor1.core.errors import UserError
from legor1.core.provenance import output_of
from legor1.data.download import COMMIT, downloaded, offline
from legor1.data.sources import download_folder

TINY_BASE = Path(__file__).parents[2] / "base" / "tiny"
STACK = (
    "torch", "torchvision", "transformers", "trl", "peft", "accelerate", "deepspeed", "datasets",
    "qwen_vl_utils", "tensorboard",
)  # fmt: skip
# A rule is checked by the beginning of its name.
MODEL_RULES = ("train_", "predict_", "build_tiny_base")
EVERY_RULE = (*MODEL_RULES, "fetch_dataset", "fetch_base")
SECONDS_FOR_THE_HUB = 10


def require(config: Config, results: Path, rules: Collection[str] = EVERY_RULE) -> None:
    """Stop if something is missing to run ``rules`` (all by default) of the config here.

    The UserError names all that is missing, each with its remedy, and how to run the demo.
    """
    problems = list(missing(config, results, rules))
    if problems:
        demo = "" if config.run == "demo" else ", or run the demo, which needs none: make demo"
        raise UserError(
            f"run {config.run} cannot be made on this machine:\n  - "
            + "\n  - ".join(problems)
            + f"\nRemedy: put these right{demo}."
        )


def missing(config: Config, results: Path, rules: Collection[str]) -> Iterator[str]:
    """Yield what is missing, one sentence a thing."""
    yield from _unwritable(results)
    yield from _no_dataset(config.dataset, rules)
    yield from _no_base(config.base, rules)
    if any(rule.startswith(MODEL_RULES) for rule in rules):
        if absent := [name for name in STACK if find_spec(name) is None]:
            yield f"Python packages are missing ({', '.join(absent)}): make setup"
        wanted = config.processes
        if config.device == "cuda" and (found := _count_gpus()) < wanted:
            yield f"{wanted} NVIDIA GPU(s) needed, {found} found: use a machine or cluster with one"


def _unwritable(results: Path) -> Iterator[str]:
    there = next(path for path in (results, *results.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        yield f"{results} cannot be written ({there}: {error.strerror}): free or change that folder"


def _no_dataset(dataset: Dataset, rules: Collection[str]) -> Iterator[str]:
    if "fetch_dataset" not in rules:
        return
    if dataset.source == "directory":
        folder = Path(dataset.directory or "")
        if not folder.is_dir():
            yield f"dataset.directory {folder} is no folder: name the one that holds qwen_data/"
        elif not list(folder.glob(PATTERNS[dataset.source])):
            yield (
                f"dataset.directory {folder} is no LEGO-ARTA tree (no {PATTERNS[dataset.source]}): "
                "name the folder that holds qwen_data/"
            )
    elif dataset.own and not [*Path(dataset.own[0]).glob(dataset.own[1])]:
        root, files = dataset.own
        yield f"dataset.{dataset.source}: {root} has no {files}: name your folder and files"
    if dataset.source == "huggingface":
        yield from _no_hub("dataset", dataset.huggingface)


def _no_base(base: Base, rules: Collection[str]) -> Iterator[str]:
    if "fetch_base" not in rules:
        return
    if base.source == "huggingface":
        yield from _no_hub("model", base.huggingface)
    if base.source == "shipped" and not (TINY_BASE / "config.json").is_file():
        yield f"{TINY_BASE} holds no model: check it out with git, or set base.source: rebuild"


def _no_hub(kind: str, hub: Hub) -> Iterator[str]:
    """Yield why a repository cannot be downloaded, unless an earlier download will do."""
    repo, revision = hub.repo, hub.revision
    folder = download_folder(kind, repo, revision)
    try:
        there = downloaded(folder, repo, revision) is not None
    except UserError as error:
        yield str(error)
        return
    if there and (offline() or COMMIT.fullmatch(revision)):
        return
    if offline():
        yield (
            f"{repo} is to be downloaded, but HF_HUB_OFFLINE is set, and {folder} holds no "
            "finished download: unset it, or bring that folder"
        )
        return
    address = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    try:
        urllib.request.urlopen(address, timeout=SECONDS_FOR_THE_HUB).close()
    except urllib.error.HTTPError:
        return  # it answered
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        remedy = (
            f"set HF_HUB_OFFLINE=1 to use what is in {folder}"
            if there
            else "run `snakemake fetch` where there is network"
        )
        yield f"{repo} is to be downloaded, but {address} is out of reach ({reason}): {remedy}"


def _count_gpus() -> int:
    """Return how many GPUs the driver lists; asking torch would take seconds."""
    listed = output_of(["nvidia-smi", "-L"]) or ""
    return sum(line.startswith("GPU ") for line in listed.splitlines())
