"""Parquet: a file -> records as clients send them, part by part.

A column with the name of a record's field fills that field; other columns become attributes. Files of Headwater's own
tables can be read too: the columns that a flow added are left out.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from contracts.errors import ConfigError
from contracts.messages import Kind
from contracts.records import SentEvent, SentLog, SentMetric

_SENT = {Kind.LOGS: SentLog, Kind.METRICS: SentMetric, Kind.EVENTS: SentEvent}
_RENAMED = {"metric_kind": "kind", "ts": "timestamp", "time": "timestamp", "@timestamp": "timestamp"}
_OF_THE_TABLE = {"id", "day", "move", "tenant", "producer", "epoch", "stream", "sequence", "pipeline"}
_OF_THE_TABLE |= {"bus_partition", "bus_offset", "bus_index"}


def records(path: str, kind: Kind, rows: int) -> Iterator[list[dict[str, Any]]]:
    """Lists of at most `rows` records, in the order of the file.

    Raises:
        ConfigError: The file is no Parquet file.
        OSError: The file cannot be read.
    """
    import pyarrow.parquet as parquet

    try:
        file = parquet.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise ConfigError(f'"{path}" is no Parquet file: {error}', hint="name its format with --format") from error
    with file:
        for batch in file.iter_batches(batch_size=rows):
            yield [_record(row, kind) for row in _plain(batch).to_pylist()]


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Convert timestamps to integers in nanoseconds."""
    for at, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type):
            whole = batch.column(at).cast(pa.timestamp("ns", field.type.tz)).cast(pa.int64())
            batch = batch.set_column(at, field.name, whole)
    return batch


def _record(row: dict[str, Any], kind: Kind) -> dict[str, Any]:
    known = _SENT[kind].__struct_fields__
    record: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    for column, value in row.items():
        name = _RENAMED.get(column, column)
        if value is None or column in _OF_THE_TABLE:
            continue
        if name == "attributes":
            attributes |= _attributes(value)
        elif name in known:
            record[name] = value
        elif name != "observed_timestamp":
            attributes[column] = _json(value)
    return record | ({"attributes": attributes} if attributes else {})


def _attributes(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value or "{}")
        except ValueError:
            return {"attributes": value}
    if isinstance(value, list):  # a map column
        value = dict(value)
    return {str(name): _json(each) for name, each in value.items()} if isinstance(value, dict) else {}


def _json(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.isoformat() if isinstance(value, dt.date | dt.time) else value
