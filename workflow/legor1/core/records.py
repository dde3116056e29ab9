"""The record beside every result: what it was made from and by, where, and at what cost.

No rule declares it, so that a record reruns nothing; ``schemas/record.schema.json`` describes it.
"""

import contextlib
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from legor1.core import code_digest, provenance
from legor1.core.files import sha256, write_json
from legor1.core.provenance import RECORD

Facts = dict[str, object]  # of a file: path, bytes unless it is a dataset tree, and sha256


@dataclass(frozen=True)
class Role:
    """What a stage does with the paths of one of its options."""

    kind: Literal["input", "output"]
    # Those of a folder, as glob patterns; none for a dataset tree, for which its manifest stands.
    files: tuple[str, ...] = ("**/*",)


def path_of(result: Path) -> Path:
    """Return where the record of a result lies, be it a file or a folder."""
    return result.with_name(result.name + RECORD)


@contextlib.contextmanager
def keeping(
    stage: str, options: Mapping[str, object], roles: Mapping[str, Role], code: Iterable[Path] = ()
) -> Iterator[None]:
    """Run the block, a stage, and then write the record beside its first output.

    A stage that raises leaves no record, and neither does one that writes no file. Options without
    a role are the stage's settings; ``code`` are the user's own files that it runs.
    """
    written = _of_kind("output", options, roles)
    if not written:
        yield
        return
    recipe = options.get("recipe")
    recipe = recipe if isinstance(recipe, Mapping) else {}
    settings = {name: value for name, value in options.items() if name not in roles}
    inputs = _listed(_of_kind("input", options, roles))
    started, clock = datetime.now(UTC), time.monotonic()
    yield
    seconds = time.monotonic() - clock
    run = f"train {recipe['method']}" if stage == "train" else stage
    record = {
        "schema_version": 1,
        "stage": stage,
        "settings": json.loads(json.dumps(settings, default=Path.as_posix)),
        "seed": options.get("seed", recipe.get("seed")),
        "inputs": inputs,
        "outputs": _listed(written),
        "started": started.isoformat(timespec="seconds"),
        "wall_seconds": round(seconds, 3),
        "peak_memory_mib": _peak_memory_mib(),
        "peak_gpu_memory_mib": _peak_gpu_memory_mib(),
        "host": _host(),
        "devices": _gpus() if recipe.get("device") == "cuda" else ["cpu"],
        # None for a stage without a rule.
        "code_sha256": code_digest.digest(run, files=code) if run in code_digest.STAGES else None,
        **provenance.collect(),
    }
    (first, *_), _ = written[0]
    if first.exists():
        write_json(path_of(first), record)


def _of_kind(
    kind: str, options: Mapping[str, object], roles: Mapping[str, Role]
) -> list[tuple[list[Path], Role]]:
    """Return the paths of each option of this kind that was given, with its role."""
    named = [(_paths(options[name]), role) for name, role in roles.items() if role.kind == kind]
    return [(paths, role) for paths, role in named if paths]


def _paths(value: object) -> list[Path]:
    """Return the paths in an option's value, which may have names beside them."""
    if isinstance(value, Path):
        return [value]
    nested = value if isinstance(value, list | tuple) else ()
    return [path for item in nested for path in _paths(item)]


def _listed(given: list[tuple[list[Path], Role]]) -> list[Facts]:
    files: list[Facts] = []
    for paths, role in given:
        listed = {file: facts for path in paths for file, facts in _files(path, role)}
        files += listed.values()
    return files


def _files(path: Path, role: Role) -> Iterator[tuple[Path, Facts]]:
    """Yield a file, or a folder's, with its facts; of a tree that is read, the manifest's hash."""
    if path.is_dir() and not role.files:
        manifest = path.with_name("manifest.json")
        known = role.kind == "input" and manifest.is_file()
        yield path, {"path": path.as_posix(), "sha256": sha256(manifest) if known else None}
        return
    inside = (sorted(path.glob(pattern)) for pattern in role.files)
    for file in [file for part in inside for file in part] if path.is_dir() else [path]:
        shown = file == path or not (file.name.startswith(".") or file.name.endswith(RECORD))
        if shown and file.is_file():
            size = file.stat().st_size
            yield file, {"path": file.as_posix(), "bytes": size, "sha256": sha256(file)}


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


def _host() -> dict[str, object]:
    """Return the machine's name, its processor and its memory in MiB, as far as they are known."""
    processor = platform.processor() or None
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        processor = next(names, processor)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return {"name": platform.node(), "processor": processor, "memory_mib": memory}


def _gpus() -> list[str]:
    """Return the names, memory and drivers of the GPUs that are visible here."""
    facts = "name,memory.total,driver_version"
    command = ["nvidia-smi", f"--query-gpu={facts}", "--format=csv,noheader"]
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        command += ["--id", visible]
    return (provenance.output_of(command) or "").splitlines()
