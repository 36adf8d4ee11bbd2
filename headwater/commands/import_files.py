"""Files of old records -> NDJSON parts of records as clients send them: NDJSON, Parquet, plain log lines; gzip, zstd.

The parts of a file are the same at each reading, so that an import that was stopped goes on at the next part.
"""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import msgspec
import zstandard

from contracts.errors import ConfigError
from contracts.messages import Kind
from contracts.records import SentEvent, SentLog, SentMetric

PART_RECORDS = 5000
PART_BYTES = 4 << 20
LINE_BYTES = 900 << 10
FORMATS = ("auto", "ndjson", "parquet", "lines")
_READ_BYTES = 1 << 20
_SENT = {Kind.LOGS: SentLog, Kind.METRICS: SentMetric, Kind.EVENTS: SentEvent}


@dataclass(frozen=True, slots=True)
class Options:
    """How a file is read. `service`, `env`, `host`: of plain lines, which do not say so themselves."""

    kind: Kind
    form: str = "auto"
    service: str = ""
    env: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """`count` lines of NDJSON; `read_bytes`: how much of the file on disk had been read when it was complete."""

    payload: bytes
    count: int
    read_bytes: int


def options_of(kind: str, form: str, service: str = "", env: str = "", host: str = "") -> Options:
    """Read what the command line says.

    Raises:
        ConfigError: There is no such kind or format, or lines are asked for as something else than logs.
    """
    if kind not in _SENT:
        raise ConfigError(f'kind "{kind}" cannot be imported', hint=f"use {', '.join(each.value for each in _SENT)}")
    if form not in FORMATS:
        raise ConfigError(f'format "{form}" is not known', hint=f"use {', '.join(FORMATS)}")
    if form == "lines" and kind != Kind.LOGS:
        raise ConfigError(f"plain lines are logs, not {kind}", hint="leave --kind or --format out")
    return Options(Kind(kind), form, service, env, host)


def digest(path: Path, tenant: str, options: Options) -> str:
    """Names what is imported: the same content, tenant and options give the same name."""
    hashed = hashlib.sha256(repr((1, tenant, options.kind.value, options.form)).encode())
    hashed.update(repr((options.service, options.env, options.host)).encode())
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            hashed.update(block)
    return hashed.hexdigest()[:24]


def form_of(path: Path, options: Options) -> str:
    """ "ndjson", "parquet" or "lines".

    Raises:
        ConfigError: The file cannot be read, or holds nothing of the kind.
    """
    if options.form != "auto":
        return options.form
    with path.open("rb") as file:
        if file.read(4) == b"PAR1":
            return "parquet"
    with _opened(path) as text:
        first = next((line for line in iter(lambda: text.readline(LINE_BYTES), b"") if line.strip()), b"")
    if _is_record(first, options.kind):
        return "ndjson"
    if options.kind is not Kind.LOGS:
        raise ConfigError(
            f'the first line of "{path}" is no record of kind {options.kind}: {first[:60]!r}',
            hint="see docs/api.md for the fields of one; or name another --kind or --format",
        )
    return "lines"


def _is_record(line: bytes, kind: Kind) -> bool:
    try:
        msgspec.json.decode(without_id(line), type=_SENT[kind])
        return True
    except (ValueError, RecursionError):
        return False


def without_id(line: bytes) -> bytes:
    """A record as Headwater itself shows it has an id, which nobody sends."""
    if b'"id"' not in line:
        return line
    try:
        record = msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return line
    if not isinstance(record, dict) or "id" not in record:
        return line
    return msgspec.json.encode({name: value for name, value in record.items() if name != "id"})


def parts(path: Path, form: str, options: Options) -> Iterator[Chunk]:
    """All of the file, in order.

    Raises:
        ConfigError: It cannot be read as what it is said to be.
        OSError: It cannot be read.
    """
    if form == "parquet":
        yield from _parquet(path, options)
        return
    wrap = without_id if form == "ndjson" else _wrapper(path, options)
    with path.open("rb") as raw, _opened(path, raw) as text:
        lines: list[bytes] = []
        size = 0
        while line := text.readline(LINE_BYTES):
            line = line.rstrip(b"\r\n")
            lines.append(wrap(line) if line.strip() else b"")
            size += len(lines[-1])
            if len(lines) >= PART_RECORDS or size >= PART_BYTES:
                yield Chunk(b"\n".join(lines), len(lines), raw.tell())
                lines, size = [], 0
        if lines:
            yield Chunk(b"\n".join(lines), len(lines), raw.tell())


def _wrapper(path: Path, options: Options) -> Callable[[bytes], bytes]:
    from agents.lines import Limits, LineEncoder, Origin

    attributes = {"log.file.name": path.name, "log.file.path": str(path)}
    encoder = LineEncoder(Origin(options.service, options.env, options.host, attributes), Limits(1, 1 << 30, 1 << 30))
    written_ns = path.stat().st_mtime_ns  # of a line that does not say when it was written

    def wrap(line: bytes) -> bytes:
        packed = encoder.pack(line, written_ns)
        return packed[0].payload.rstrip(b"\n") if packed else b""

    return wrap


def _parquet(path: Path, options: Options) -> Iterator[Chunk]:
    from lakehouse.upkeep.imports.parquet import records

    total, read = path.stat().st_size, 0
    for rows in records(str(path), options.kind, PART_RECORDS):
        read += len(rows)
        yield Chunk(b"\n".join(map(msgspec.json.encode, rows)), len(rows), total)


@contextmanager
def _opened(path: Path, raw: IO[bytes] | None = None) -> Iterator[io.BufferedReader]:
    """The text of the file, unpacked where its first bytes say that it is packed."""
    with path.open("rb") as probe:
        magic = probe.read(4)
    source = raw or path.open("rb")
    try:
        if magic[:2] == b"\x1f\x8b":
            yield cast(io.BufferedReader, io.BufferedReader(gzip.GzipFile(fileobj=source)))
        elif magic == b"\x28\xb5\x2f\xfd":
            reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(source, read_across_frames=True)
            yield io.BufferedReader(cast(io.RawIOBase, reader), _READ_BYTES)
        else:
            yield cast(io.BufferedReader, source)
    except (gzip.BadGzipFile, EOFError, zstandard.ZstdError) as error:
        raise ConfigError(
            f'"{path}" is damaged: {error}', hint="unpack what can be read of it, and import that"
        ) from error
    finally:
        if raw is None:
            source.close()
