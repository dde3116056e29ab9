"""Snakemake's records of how a run's files were made, carried from one clone to another.

A record holds a rule's settings, its command and the hashes of its inputs. With them a restored run
is judged by content, as it was where it was made: changed code or settings rerun what they reach,
and the time of a checkout reruns nothing. Without them every file of the code, newer than what it
made, would.
"""

import os
from collections.abc import Collection
from pathlib import Path

from snakemake.persistence import MetadataRecord
from snakemake.persistence.file import FilePersistence

from legor1.core import files
from legor1.core.errors import UserError
from legor1.publishing.outputs import RECORDS

END_OF_TIME = 2**33  # in seconds since 1970


def save(run: Path) -> None:
    """Write the records of the files below ``run`` beside them.

    Raises:
        UserError: Snakemake has none.
    """
    store = FilePersistence(nolock=True)
    paths = sorted(path.as_posix() for path in run.rglob("*"))
    found = {path: record for path in paths if (record := store._read_record(path))}
    if not found:
        raise UserError(
            f"Snakemake has no record of any file in {run}, so a restored run would be made anew. "
            "Remedy: publish from the folder where it was run; if the results are up to date and "
            "only .snakemake/ was lost: snakemake --touch --forceall, with the run's config."
        )
    files.write_json(run / RECORDS, {path: one.model_dump() for path, one in found.items()})


def read(path: Path, run: Path, names: Collection[str]) -> dict[str, MetadataRecord]:
    """Return file → its record, from what ``save`` wrote.

    Args:
        path: the records, wherever they lie.
        run: the run's folder.
        names: its outputs; each record must be of one of them or of a file in one.

    Raises:
        UserError: they are no such records.
    """
    found = files.read_json(path)
    if not isinstance(found, dict):
        raise _damaged(run, "no table")
    records = {}
    for name, one in found.items():
        below = name.removeprefix(f"{run.as_posix()}/")
        ours = any(f"{below}/".startswith(f"{output}/") for output in names)
        if not (ours and below != name and files.is_plain(below)):
            raise _damaged(run, f"{name!r} is none of its files")
        try:
            records[name] = MetadataRecord.model_validate(one)
        except ValueError as error:
            raise _damaged(run, f"that of {name} is none of Snakemake's") from error
        if not 0 <= (records[name].endtime or -1) < END_OF_TIME:
            raise _damaged(run, f"{name} ended at {records[name].endtime}")
    return records


def load(records: dict[str, MetadataRecord]) -> None:
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
