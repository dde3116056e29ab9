"""Snakemake's records of how a run's files were made, carried from one clone to another.

A record holds a rule's settings, its command and the hashes of its inputs. With them a restored run
is judged by content, as it was where it was made: changed code or settings rerun what they reach,
and the time of a checkout reruns nothing. Without them every file of the code, newer than what it
made, would.
"""

import base64
import os
from pathlib import Path

from legor1 import files
from legor1.errors import UserError
from legor1.publishing.outputs import RECORDS

STORE = Path(".snakemake/metadata")


def save(run: Path) -> None:
    """Write the records of the files below ``run`` beside them.

    Raises:
        UserError: Snakemake has none.
    """
    records = {}
    for path in sorted(STORE.rglob("*")):
        if path.is_file():
            name = path.relative_to(STORE).as_posix()
            output = _output(name)
            if output.startswith(f"{run.as_posix()}/") and Path(output).exists():
                records[name] = files.read_json(path)
    if not records:
        raise UserError(
            f"Snakemake has no record of any file in {run}, so a restored run would be made anew. "
            "Remedy: publish from the folder where it was run; if the results are up to date and "
            "only .snakemake/ was lost: snakemake --touch --forceall, with the run's config."
        )
    files.write_json(run / RECORDS, records)


def load(run: Path) -> None:
    """Give the records beside the files below ``run`` to Snakemake, and the files their times."""
    (STORE.parent / "incomplete").mkdir(
        parents=True, exist_ok=True
    )  # or it is taken for an old one
    for name, record in files.read_json(run / RECORDS).items():
        files.write_json(STORE / name, record)
        made = round(record["endtime"] * 1e9)
        os.utime(_output(name), ns=(made, made))


def _output(name: str) -> str:
    """Return the path that a record is about: its own name in Base64, cut where it is long."""
    encoded = "".join(part.removeprefix("@") for part in name.split("/"))
    return base64.urlsafe_b64decode(encoded).decode()
