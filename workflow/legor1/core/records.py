"""The record beside every result: what it was made from and by, where, and at what cost.

No rule declares it, so that a record reruns nothing; ``schemas/record.schema.json`` describes it.
"""

import contextlib
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from legor1.core import code_digest, provenance
from legor1.core.files import sha256, write_json
from legor1.core.provenance import RECORD


@dataclass(frozen=True)
class Role:
    """What a stage does with the paths of one of its options.

    Attributes:
        files: which files of a folder, as glob patterns; none for a dataset tree, for which
            its manifest stands.
    """

    kind: Literal["input", "output"]
    files: tuple[str, ...] = ("**/*",)


def path_of(result: Path) -> Path:
    """Return where the record of a result lies, be it a file or a folder."""
    return result.with_name(result.name + RECORD)


@contextlib.contextmanager
def keeping(stage: str, options: Mapping[str, Any], roles: Mapping[str, Role]) -> Iterator[None]:
    """Run the block, a stage, and then write the record beside its first output.

    A stage that raises leaves no record, and neither does one that writes no file. Options without
    a role are the stage's settings.
    """
    written = _of_kind("output", options, roles)
    if not written:
        yield
        return
    settings = {name: value for name, value in options.items() if name not in roles}
    inputs = [
        one for paths, role in _of_kind("input", options, roles) for one in _list(paths, role)
    ]
    started, clock = datetime.now(UTC), time.monotonic()
    yield
    seconds = time.monotonic() - clock
    outputs = [one for paths, role in written for one in _list(paths, role)]
    recipe = options.get("recipe") or {}
    record = {
        "schema_version": 1,
        "stage": stage,
        "settings": _plain(settings),
        "seed": options.get("seed", recipe.get("seed")),
        "inputs": inputs,
        "outputs": outputs,
        "started": started.isoformat(timespec="seconds"),
        "wall_seconds": round(seconds, 3),
        "peak_memory_mib": _peak_memory_mib(),
        "peak_gpu_memory_mib": _peak_gpu_memory_mib(),
        "host": _host(),
        "devices": _devices() if recipe.get("device") == "cuda" else ["cpu"],
        "code_sha256": _code(f"train {recipe['method']}" if stage == "train" else stage),
        **provenance.collect(),
    }
    (first, *_), _ = written[0]
    if first.is_file() or first.is_dir():
        write_json(path_of(first), record)


def _of_kind(
    kind: str, options: Mapping[str, Any], roles: Mapping[str, Role]
) -> list[tuple[list[Path], Role]]:
    """Return the paths of each option of this kind that was given, with its role."""
    named = [(_paths(options[name]), role) for name, role in roles.items() if role.kind == kind]
    return [(paths, role) for paths, role in named if paths]


def _paths(value: Any) -> list[Path]:
    """Return the paths in an option's value, which may have names beside them."""
    if isinstance(value, Path):
        return [value]
    nested = value if isinstance(value, list | tuple) else ()
    return [path for one in nested for path in _paths(one)]


def _list(paths: list[Path], role: Role) -> list[dict[str, Any]]:
    """Return the path, size in bytes and SHA-256 of each file, in order.

    Of a dataset tree that is read, the hash is its manifest's, if one lies beside it.
    """
    found: dict[Path, dict[str, Any]] = {}
    for path in paths:
        if path.is_dir() and not role.files:
            manifest = path.with_name("manifest.json")
            known = role.kind == "input" and manifest.is_file()
            found[path] = {"path": path.as_posix(), "sha256": sha256(manifest) if known else None}
            continue
        for pattern in role.files if path.is_dir() else ():
            found |= {file: _file(file) for file in sorted(path.glob(pattern)) if _counts(file)}
        if path.is_file():
            found[path] = _file(path)
    return list(found.values())


def _counts(file: Path) -> bool:
    return file.is_file() and not file.name.startswith(".") and not file.name.endswith(RECORD)


def _file(path: Path) -> dict[str, Any]:
    return {"path": path.as_posix(), "bytes": path.stat().st_size, "sha256": sha256(path)}


def _plain(value: Any) -> Any:
    """Return an option's value as JSON has it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value.as_posix() if isinstance(value, Path) else value


def _code(stage: str) -> str | None:
    """Return the digest of a stage's code; None of a stage that has no rule."""
    return code_digest.digest(stage) if stage in code_digest.STAGES else None


def _peak_memory_mib() -> float:
    """Return the peak resident memory of the largest process: this one or any that it started."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return round(max(resource.getrusage(who).ru_maxrss for who in whose) / unit, 1)


def _peak_gpu_memory_mib() -> float | None:
    """Return the peak memory that this process took of its GPU; None if it used none."""
    torch = sys.modules.get("torch")  # a stage that used a GPU has imported it
    if torch is None or not torch.cuda.is_initialized():
        return None
    return round(torch.cuda.max_memory_allocated() / 2**20, 1)


def _host() -> dict[str, Any]:
    """Return the machine's name, its processor and its memory in MiB, as far as they are known."""
    processor = platform.processor() or None
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        processor = next(named, processor)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return {"name": platform.node(), "processor": processor, "memory_mib": memory}


def _devices() -> list[str]:
    """Return the names and the driver of the GPUs that are visible here."""
    facts = "name,memory.total,driver_version"
    command = ["nvidia-smi", f"--query-gpu={facts}", "--format=csv,noheader"]
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        command += ["--id", visible]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return []
    return said.stdout.splitlines()
