"""How a study came about, read from the records beside its results (``legor1.core.records``)."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from legor1.core.errors import UserError
from legor1.core.files import read_json, sha256
from legor1.core.layout import IN_RUN
from legor1.core.provenance import RECORD
from legor1.monitor.run_files import changed
from legor1.report.citation import Cited, Record, cite

NAMES = (
    "stage", "settings", "seed", "inputs", "outputs", "started", "wall_seconds", "peak_memory_mib",
    "peak_gpu_memory_mib", "host", "devices", "code_sha256", "commit", "dirty", "versions",
)  # fmt: skip
ENDS = (IN_RUN.table, IN_RUN.comparison, IN_RUN.config)
EVERY = f"**/*{RECORD}"  # the source of what is made of all steps
PAGE = f"{IN_RUN.report}{RECORD}"  # of an earlier rendering: this one's is written after it


@dataclass(frozen=True)
class Step:
    """A stage that ran once: its record ``file``; path → SHA-256, or None where it has none."""

    file: str
    record: Record
    inputs: Mapping[str, str | None]
    outputs: Mapping[str, str | None]

    @property
    def result(self) -> str:
        """The file or folder that the record lies beside."""
        return self.file.removesuffix(RECORD)

    @property
    def stage(self) -> str:
        """The stage, with the method of a training and what was fetched: ``train sft``."""
        settings = self.record["settings"]
        method = settings.get("recipe", {}).get("method") if self.record["stage"] == "train" else ""
        return " ".join(filter(None, (self.record["stage"], method or settings.get("kind"))))

    @property
    def gpu(self) -> bool:
        """Whether it ran on a GPU."""
        return self.record["devices"] not in (["cpu"], [])

    @property
    def cores(self) -> int:
        """How many cores it was given: threads of a model, or workers."""
        settings = self.record["settings"]
        return int((settings.get("recipe") or {}).get("threads") or settings.get("workers") or 1)

    def cited(self, *keys: object, write: Callable[..., str] = str) -> Cited:
        """Return what the record says under ``keys``."""
        return cite(self.file, self.record, *keys, write=write)


def read(run: Path, ends: Collection[str] = ENDS) -> tuple[Step, ...]:
    """Return the steps that led to the results ``ends`` of the run in the folder ``run``.

    Records that lie beside results of earlier experiments have no part in it. Where there is no
    table yet, all steps are returned. A UserError names a damaged record.
    """
    paths = {path.relative_to(run).as_posix(): path for path in sorted(run.rglob(f"*{RECORD}"))}
    known = {file: _record(path) for file, path in paths.items() if file != PAGE}
    prefix = _prefix(known)
    steps = [
        Step(file, record, *(_files(record[side], prefix) for side in ("inputs", "outputs")))
        for file, record in known.items()
    ]
    last = [step for step in steps if step.result in ends]
    kept = leading_to(last, steps) if any(step.result == ENDS[0] for step in last) else steps

    def when(step: Step) -> tuple[str, int, str]:  # of one second, what is needed comes first
        return step.record["started"], len(leading_to([step], kept)), step.file

    return tuple(sorted(kept, key=when))


def _record(path: Path) -> Record:
    record: Record = read_json(path)
    if missing := [name for name in NAMES if name not in record]:
        raise UserError(
            f"{path} is no record: it has no {missing[0]}. Remedy: make what it lies beside again."
        )
    return record


def _prefix(known: Mapping[str, Record]) -> str:
    """Return the run's folder as the records name it, with a slash; they name other places, too."""
    ends = {file: "/" + file.removesuffix(RECORD) for file in known}
    made = ((o["path"], ends[file]) for file, record in known.items() for o in record["outputs"])
    return next((path.removesuffix(end) + "/" for path, end in made if path.endswith(end)), "")


def _files(listed: list[Record], prefix: str) -> dict[str, str | None]:
    return {file["path"].removeprefix(prefix): file["sha256"] for file in listed}


def leading_to(ends: Iterable[Step], steps: Iterable[Step]) -> list[Step]:
    """Return the ``ends`` and all that they were made from, by way of files."""
    makers = _makers(steps)
    kept: dict[str, Step] = {}
    left = list(ends)
    while left:
        step = left.pop()
        if step.file not in kept:
            kept[step.file] = step
            left += [makers[path] for path in step.inputs if path in makers]
    return list(kept.values())


def _makers(steps: Iterable[Step]) -> dict[str, Step]:
    return {path: step for step in steps for path in step.outputs}


def grouped(steps: Iterable[Step], by: Callable[[Step], str]) -> dict[str, list[Step]]:
    """Return each text that ``by`` makes of a step → the steps of which it does, in their order."""
    groups: dict[str, list[Step]] = {}
    for step in steps:
        groups.setdefault(by(step), []).append(step)
    return groups


def by_stage(steps: Iterable[Step]) -> dict[str, list[Step]]:
    """Return stage → its steps, in the order in which the stages began."""
    return grouped(steps, lambda step: step.stage)


def edges(steps: Collection[Step]) -> set[tuple[str, str]]:
    """Return the pairs of stages of which the second reads what the first has written."""
    makers = _makers(steps)
    read = {(path, step.stage) for step in steps for path in step.inputs if path in makers}
    return {(makers[path].stage, stage) for path, stage in read if makers[path].stage != stage}


def broken(run: Path, steps: Collection[Step]) -> list[str]:
    """Return the files of which two records, or a record and the disk, have different hashes."""
    made = {path: hash for step in steps for path, hash in step.outputs.items() if hash}
    read = [(path, hash) for step in steps for path, hash in step.inputs.items() if hash]
    wrong = {path for path, hash in read if made.get(path, hash) != hash}
    unread = made.keys() - {path for path, _ in read}
    # Only these are hashed, for readers have recorded the rest.
    there = [path for path in unread if changed(run / path) is not None and (run / path).is_file()]
    return sorted(wrong | {path for path in there if sha256(run / path) != made[path]})


def unrecorded(run: Path, steps: Collection[Step]) -> list[str]:
    """Return the files of the run that a step read and no record says how they were made."""
    read = {path for step in steps for path in step.inputs} - {*_makers(steps)}
    own = (path for path in read if not Path(path).is_absolute())
    return sorted(path for path in own if changed(run / path) is not None)
