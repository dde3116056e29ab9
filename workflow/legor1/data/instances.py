"""instances.parquet: one row an instance, its columns, and reading and writing them.

It is written and read by pyarrow alone, and there by what does not import pandas, which would take
longer than the work.
"""

import contextlib
import gc
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legor1 import files
from legor1.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SCHEMA_VERSION = 2
COPY = "@step_dataset"  # ends the id of a true state whose image lies beside the falsified one
# The types of Arrow; in a row a missing step_num is None, all else is always there.
COLUMNS = {
    "instance_id": "string",
    "task": "string",
    "manual": "string",
    "image": "string",
    "image_width": "int64",
    "image_height": "int64",
    "prompt": "string",
    "response": "string",
    "step_class": "string",
    "step_num": "int64",
    "previous_instruction": "string",
    "step_instruction": "string",
    "step_previous_instruction": "string",
    "falsified": "bool_",
    # Of the object task, else empty: the response with the file's own numbers, and their frame.
    "file_response": "string",
    "file_frame": "string",
}
_SUMMARY = b"legor1"  # the key of what the index found, in the file's own metadata

Record = dict[str, Any]


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the search for garbage: among the rows of a growing table it finds none, slowly."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def write_instances(path: Path, records: Iterable[Record], summary: dict[str, Any]) -> None:
    """Write rows with the keys ``COLUMNS``, and what the index found, atomically."""
    rows = [[row[name] for name in COLUMNS] for row in records]
    columns = zip(*rows, strict=True) if rows else ((),) * len(COLUMNS)
    write_columns(path, dict(zip(COLUMNS, columns, strict=True)), summary)


def write_columns(path: Path, columns: Mapping[str, Sequence], summary: dict[str, Any]) -> None:
    """Write the ``COLUMNS``, equally long, and what the index found, atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = [_array(columns[name], kind) for name, kind in COLUMNS.items()]
    kept = json.dumps({"schema_version": SCHEMA_VERSION} | summary)
    table = pa.table(arrays, names=list(COLUMNS), metadata={_SUMMARY: kept})
    with files.atomic(path) as temporary:
        pq.write_table(table, temporary)


def read_instances(path: Path) -> "pd.DataFrame":
    """Read instances.parquet as a table of pandas; ``attrs`` holds what the index found.

    Raises:
        UserError: the file is missing, is not Parquet, or lacks a column.
    """
    table = _read(path, list(COLUMNS))
    frame = table.to_pandas().astype({"step_num": "Int64"})
    frame.attrs = _summary(table.schema)
    return frame


def read_records(path: Path, columns: Sequence[str] = tuple(COLUMNS)) -> list[Record]:
    """Read instances.parquet as dictionaries of plain Python values, sorted by instance id.

    Args:
        path: instances.parquet.
        columns: what each dictionary holds, in this order; fewer take less time and memory.

    Raises:
        UserError: the file is missing, is not Parquet, or lacks a column.
    """
    table = _read(path, list(columns))
    with collector_paused():
        values = [table[name].to_pylist() for name in columns]
        return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def read_summary(path: Path) -> dict[str, Any]:
    """Read what the index found: ``object_frame``, counts of rows and of the quarantine.

    Raises:
        UserError: the file is missing, or is not Parquet.
    """
    return _summary(_read(path, []).schema)


def _read(path: Path, columns: list[str]) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
            table = None if missing else file.read(columns)
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"{path} cannot be read as Parquet: {error}. Remedy: make it with 'legor1 index'."
        ) from error
    if table is None:
        raise UserError(
            f"{path} lacks the columns {', '.join(missing)}. "
            "Remedy: make it again with 'legor1 index'."
        )
    return table


def _array(values: Sequence, kind: str) -> "pa.Array":
    """Return a column; ``pa.array`` would import pandas."""
    import pyarrow as pa

    if kind == "string":
        builder = pa.lib.StringBuilder()
        builder.append_values(values)
        return builder.finish()
    numbers = pa.py_buffer(array("q", [value or 0 for value in values]))
    known = _bits(value is not None for value in values)
    whole = pa.Array.from_buffers(pa.int64(), len(values), [known, numbers])
    return whole.cast(getattr(pa, kind)())


def _bits(flags: Iterable[bool]) -> "pa.Buffer":
    import pyarrow as pa

    octets = bytes(flags)
    small = pa.Array.from_buffers(pa.int8(), len(octets), [None, pa.py_buffer(octets)])
    return small.cast(pa.bool_()).buffers()[1]


def _summary(schema: "pa.Schema") -> dict[str, Any]:
    return json.loads((schema.metadata or {}).get(_SUMMARY, b"{}"))
