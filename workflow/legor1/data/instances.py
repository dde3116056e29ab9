"""instances.parquet: one row an instance, its columns, and reading and writing them."""

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from legor1.core import files
from legor1.core.errors import UserError

SCHEMA_VERSION = 2
SIDES = ("train", "test")  # of a split
COPY = "@step_dataset"  # ends the id of a true state whose image lies beside the falsified one

Record = dict[str, Any]


class Row(NamedTuple):
    """One usable row; all but ``step_num`` is always known."""

    instance_id: str
    task: str
    manual: str
    image: str
    image_width: int
    image_height: int
    prompt: str
    response: str
    step_class: str = ""
    step_num: int | None = None
    previous_instruction: str = ""
    step_instruction: str = ""
    step_previous_instruction: str = ""
    falsified: bool = False
    # Of the object task, else empty: the response with the file's own numbers, and their frame.
    file_response: str = ""
    file_frame: str = ""


COLUMNS = Row._fields
_ARROW = {str: "string", int: "int64", int | None: "int64", bool: "bool"}


def write_instances(path: Path, rows: Iterable[Row], summary: Record) -> None:
    """Write the rows, and in the file's metadata what the index found, atomically."""
    columns = {name: _ARROW[kind] for name, kind in Row.__annotations__.items()}
    noted = json.dumps({"schema_version": SCHEMA_VERSION} | summary)
    write_table(path, [row._asdict() for row in rows], columns, {"legor1": noted})


def write_table(
    path: Path, rows: list[Record], columns: Mapping[str, str], metadata: Mapping[str, str]
) -> None:
    """Write rows as Parquet, atomically; ``columns`` is name → Arrow's name of its type."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(rows, pa.schema([*columns.items()], metadata))
    with files.atomic(path) as temporary:
        pq.write_table(table, temporary)


def read_records(path: Path, columns: Sequence[str] = COLUMNS) -> list[Record]:
    """Read instances.parquet as dictionaries of these columns in this order, by instance id.

    Raises as ``read_table``.
    """
    return read_table(path, COLUMNS, columns, "Parquet", "legor1 index")


def check_known(names: Iterable[str], rows: Container[str], source: object, stage: str) -> None:
    """Check that ``names`` in the ``source`` that ``stage`` makes are ids of ``rows``.

    A UserError names the first that is not.
    """
    for name in names:
        if name not in rows:
            raise UserError(
                f"{source} names {name}, which is not among the instances. "
                f"Remedy: {stage} the instances again with 'legor1 {stage}'."
            )


def read_table(
    path: Path, required: Sequence[str], columns: Sequence[str], what: str, command: str
) -> list[Record]:
    """Return some columns of a table that ``command`` makes; all ``required`` must be there.

    A UserError names a file that is missing, is not Parquet (not ``what``), or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in required if name not in file.schema_arrow.names]
            if not missing:
                return file.read(list(columns)).to_pylist()
            reason = f"lacks the columns {', '.join(missing)}"
    except (OSError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
    raise UserError(
        f"{path} cannot be read as {what}: {reason}. Remedy: make it again with '{command}'."
    )
