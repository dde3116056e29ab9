"""Publish a finished run to a DVC remote, and restore one in another clone.

Snakemake's records of how the files were made go with them, so that a restored run is judged by
content, as it was where it was made: the time of a checkout reruns nothing.
"""

import contextlib
import os
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import yaml
from snakemake.persistence import MetadataRecord
from snakemake.persistence.file import FilePersistence

from legor1.core import files
from legor1.core.errors import UserError
from legor1.core.layout import IN_RUN
from legor1.monitor.run_files import json_object
from legor1.publishing import outputs
from legor1.publishing.dvc import alone, dvc, fetch, require_remote, verify
from legor1.publishing.outputs import RECORDS, pointer, published

END_OF_TIME = 2**33  # in seconds since 1970
FINISHED = (IN_RUN.config, IN_RUN.table, IN_RUN.report)


def publish(run: Path) -> dict[str, str | int]:
    """Have DVC keep the outputs of the run in ``run``, push them, and return what was done.

    Git is left to the user: commit the pointer, ``published/<run>.dvc``. A UserError if the run is
    not finished, or a file's name cannot be restored everywhere.
    """
    for name in FINISHED:
        if not (run / name).is_file():
            raise UserError(
                f"{run / name} does not exist, so run {run.name} is not finished. "
                "Remedy: run the pipeline to its end first."
            )
    with alone():
        require_remote()
        save_records(run)
        names = [*outputs.listed(run), RECORDS]
        paths = [run / name / file for name in names for file in outputs.files_of(run / name)]
        times = {path: path.stat().st_mtime_ns for path in paths}
        below = (path.relative_to(run).as_posix() for path in paths)
        if (wrong := outputs.misplaced(below)) is not None:
            raise UserError(
                f"{run / wrong} cannot be restored everywhere: its name means something to git, or "
                "is another file's where case and accents do not count. Remedy: remove or rename "
                "it; if it is of the dataset, in the dataset, and run again."
            )
        _point(run, names)
        dvc("commit", "--force", str(pointer(run)))
        for path, time in times.items():  # DVC puts another file in a file's place
            os.utime(path, ns=(time, time))
        dvc("push", str(pointer(run)))
    return {"outputs": len(names), "files": len(times), "to commit to git": str(pointer(run))}


def restore(run: Path) -> dict[str, str | int]:
    """Bring the published run ``run`` back, check every file, and return what was done.

    Snakemake then goes on from it, as it would where the run was made. A UserError if its objects
    are missing or damaged or would be written elsewhere, or other results are in its place.
    """
    wanted = published(run)
    if RECORDS not in wanted:
        raise UserError(f"{pointer(run)} lists no {RECORDS}. Remedy: publish the run again.")
    with alone():
        objects = fetch(run, wanted)
        known = read_records(objects[RECORDS], run, wanted)
        dvc("checkout", str(pointer(run)))
        verify(run, wanted)
        load_records(known)
    for lack in _elsewhere(run):
        print(f"restore: {lack}", file=sys.stderr)
    return {"outputs": len(wanted), "restored and checked": str(run)}


def _point(run: Path, names: list[str]) -> None:
    """Write which outputs DVC is to keep, unless it is known; DVC adds their hashes."""
    with contextlib.suppress(UserError):  # none yet, or one that an interrupted DVC left
        if list(published(run)) == names:
            return
    content = {"wdir": outputs.within(run), "outs": [{"path": name} for name in names]}
    files.write_text(pointer(run), yaml.safe_dump(content, sort_keys=False))


def _elsewhere(run: Path) -> Iterator[str]:
    """Yield what a restored run depends on that is neither part of it nor here."""
    model = run / IN_RUN.base_model
    path = json_object(model).get("path")
    if isinstance(path, str) and not (model.parent / path).exists():
        yield (
            "the base model is not here; before more is trained or predicted, fetch it by "
            f"`snakemake --force {model}` with the run's config"
        )
    dataset = json_object(run / IN_RUN.config).get("dataset")
    block = dataset.get(dataset.get("source")) if isinstance(dataset, dict) else None
    named = block.get("folder") if isinstance(block, dict) else block
    if isinstance(named, str) and not Path(named).exists():
        yield (
            f"the dataset's folder {named} is not here; before Snakemake runs, "
            f"make it a link to {run / 'data/tree'}"
        )


def save_records(run: Path) -> None:
    """Write the records of the files below ``run`` beside them; a UserError if there are none."""
    store = FilePersistence(nolock=True)
    paths = sorted(path.as_posix() for path in run.rglob("*"))
    records = {path: record for path in paths if (record := store._read_record(path))}
    if not records:
        raise UserError(
            f"Snakemake has no record of any file in {run}, so a restored run would be made anew. "
            "Remedy: publish from the folder where it was run; if the results are up to date and "
            "only .snakemake/ was lost: snakemake --touch --forceall, with the run's config."
        )
    files.write_json(run / RECORDS, {path: record.model_dump() for path, record in records.items()})


def read_records(path: Path, run: Path, names: Collection[str]) -> dict[str, MetadataRecord]:
    """Return file → its record, from what ``save_records`` wrote to ``path``.

    A UserError if they are no such records, or one is not of the outputs ``names`` of the run.
    """
    content = files.read_json(path)
    if not isinstance(content, dict):
        raise _damaged(run, "no table")
    records = {}
    for name, fields in content.items():
        below = name.removeprefix(f"{run.as_posix()}/")
        ours = any(f"{below}/".startswith(f"{output}/") for output in names)
        if not (ours and below != name and files.is_plain(below)):
            raise _damaged(run, f"{name!r} is none of its files")
        try:
            records[name] = MetadataRecord.model_validate(fields)
        except ValueError as error:
            raise _damaged(run, f"that of {name} is none of Snakemake's") from error
        if not 0 <= (records[name].endtime or -1) < END_OF_TIME:
            raise _damaged(run, f"{name} ended at {records[name].endtime}")
    return records


def load_records(records: dict[str, MetadataRecord]) -> None:
    """Give the records of restored files to Snakemake, and the files their times."""
    store = FilePersistence(nolock=True)
    for name, record in records.items():
        if Path(name).exists():
            store._write_record(name, record)
            os.utime(name, (record.endtime, record.endtime))


def _damaged(run: Path, fault: str) -> UserError:
    return UserError(
        f"{RECORDS} as published with {run} holds no records of the run ({fault}), so nothing was "
        "restored. Remedy: publish the run again where it was made."
    )
