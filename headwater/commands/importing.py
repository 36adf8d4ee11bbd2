"""`headwater import`: files of old records -> the lake, or the bus where the hot store is to have them too; each once.

A record goes to the arrival day of its own event time. One of the last days (those that the hot store keeps) passes the
bus as if it arrived now; an older one goes straight to the lake. A stopped import goes on where it stood when it is
started again; a finished one is not made twice.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import zstandard
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from contracts.batches import IMPORTED, Batch, Reject
from contracts.errors import ConfigError
from contracts.failpoints import failpoint, reach
from contracts.messages import BatchHeader, Message, to_headers
from contracts.tenants import Tenant, tenant_named
from headwater.commands.import_files import Chunk, Options, digest, form_of, parts
from headwater.console import counted, out

if TYPE_CHECKING:
    from contracts.bus import Bus
    from contracts.settings import Settings
    from flows.parse.batch import Parse
    from lakehouse.lake.erasure_tests import Tests
    from lakehouse.upkeep.care import Care
    from lakehouse.upkeep.imports.land import Import


SENT = failpoint("import.sent", "recent records of a part are on the bus")


@dataclass(slots=True)
class Outcome:
    """What became of the records of one file. `days`: arrival days that the lake got rows of."""

    landed: int = 0
    sent: int = 0
    erased: int = 0
    rejected: int = 0
    days: set[dt.date] = field(default_factory=set)


def import_files(settings: Settings, paths: Sequence[Path], tenant: str, options: Options) -> int:
    """1 when records were refused; they stand in files that are named.

    Raises:
        ConfigError: A file cannot be read as what it is said to be. Files before it are imported.
        BusError, StoreError: The platform cannot take them now; start the import again, it goes on where it stood.
    """
    from bus import open_bus
    from lakehouse.upkeep.care import Care
    from lakehouse.upkeep.policy.file import load_policy

    whose, recent_days = tenant_named(tenant), load_policy(settings).hot_days
    refused = 0
    with contextlib.closing(Care(settings)) as care, contextlib.ExitStack() as opened:
        bus = open_bus(settings.bus, settings)
        opened.callback(bus.close)
        for path in _files(paths):
            one = _Importer(care, bus, whose, path, options, care.today() - dt.timedelta(days=recent_days))
            refused += one.run()
    return 1 if refused else 0


def _files(paths: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ConfigError(f'"{path}" is not there', hint="name files, or folders of files")
        found += sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    if not found:
        raise ConfigError("there is no file to import", hint="name files, or folders of files")
    return found


class _Importer:
    """Of one file."""

    def __init__(
        self, care: Care, bus: Bus, tenant: Tenant, path: Path, options: Options, recent_from: dt.date
    ) -> None:
        from flows.graph import parser
        from lakehouse.lake.erasure_requests import Tombstones
        from lakehouse.upkeep.imports.land import Import

        self._care, self._bus, self._path, self._options, self._recent_from = care, bus, path, options, recent_from
        try:
            self._form = form_of(path, options)
            self._import: Import = Import(care, options.kind, tenant, digest(path, tenant, options))
        except OSError as error:
            raise ConfigError(f'"{path}" cannot be read: {error.strerror}', hint="check its rights") from error
        self._parse: Parse = parser(options.kind, care.settings)
        self._tombstones = Tombstones(care.settings.lake, care.settings)
        self._outcome = Outcome()
        self._forgotten: set[dt.date] = set()  # by the hot store, for the time of this import
        self._rejects = care.settings.data / "imports" / f"{self._import.name}.rejects.ndjson"

    def run(self) -> int:
        """How many records were refused."""
        from lakehouse.upkeep.imports.land import ALL

        done = self._import.done()
        if done >= ALL:
            out.print(f"{self._path}: imported before, nothing to do", markup=False)
            return 0
        self._import.introduce()
        self._recent_from = self._import.recent_from(self._recent_from)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=out, transient=True) as progress:
            task = progress.add_task(self._path.name, total=self._path.stat().st_size)
            for at in self._go(done):
                progress.update(task, completed=at)
        self._heal()
        self._tell(done)
        return self._outcome.rejected

    def _go(self, done: int) -> Iterable[int]:
        """Import the parts from number `done` on; how many bytes of the file are read."""
        from lakehouse.upkeep.imports.land import ALL

        waiting: list[Batch] = []
        sequence, landed = 0, done
        for number, part in enumerate(parts(self._path, self._form, self._options)):
            if number >= done:
                waiting += self._take(part, sequence)
            sequence += part.count
            if _rows(waiting) >= self._care.settings.lake_commit_rows:
                self._land(waiting, landed, number + 1)
                waiting, landed = [], number + 1
            yield part.read_bytes
        self._land(waiting, landed, ALL)

    def _take(self, part: Chunk, sequence: int) -> list[Batch]:
        """Send the records of the last days; the others, as one batch a day."""
        from flows.arrivals import Arrival
        from lakehouse.upkeep.imports.land import by_day

        lines = part.payload.split(b"\n")
        header = self._header(sequence, lines)
        batch = self._parse(Arrival(header, IMPORTED, Message(part.payload, offset=0)))
        if not isinstance(batch, Batch):
            raise TypeError(f"a parser made {type(batch).__name__} of a part")
        self._refuse(batch.rejects, sequence)
        arrived = by_day(batch)
        days = _without(arrived, self._tombstones.of(self._import.tenant))
        self._outcome.erased += _rows(arrived) - _rows(days)
        old = [each for each in days if each.day <= self._recent_from]
        kept = {row.index for each in days if each.day > self._recent_from for row in each.rows}
        if kept:
            self._send(sequence, [line if at in kept else b"" for at, line in enumerate(lines)])
            self._outcome.sent += len(kept)
        return old

    def _header(self, sequence: int, lines: Sequence[bytes]) -> BatchHeader:
        return BatchHeader(
            tenant=self._import.tenant,
            kind=self._options.kind,
            producer=f"import:{self._import.name}",
            stream=self._path.name,
            sequence=sequence,
            count=sum(1 for line in lines if line),
            span=len(lines),
            received_ns=self._care.now_ns(),
        )

    def _send(self, sequence: int, lines: Sequence[bytes]) -> None:
        """A crash after this sends them again, with the same sequence numbers: the flow drops the repeat."""
        plain = b"\n".join(lines)
        header = msgspec.structs.replace(self._header(sequence, lines), encoding="zstd", size_bytes=len(plain))
        message = Message(zstandard.ZstdCompressor(level=1).compress(plain), to_headers(header))
        self._bus.append(self._options.kind.topic, header.stream_key, [message])
        reach(SENT)

    def _refuse(self, rejects: Sequence[Reject], sequence: int) -> None:
        if not rejects:
            return
        self._outcome.rejected += len(rejects)
        self._rejects.parent.mkdir(parents=True, exist_ok=True)
        with self._rejects.open("ab") as file:
            for each in rejects:
                told = {"record": sequence + each.index + 1, "reason": each.reason, "message": each.message}
                file.write(msgspec.json.encode(told | {"payload": each.payload.decode(errors="replace")}) + b"\n")

    def _land(self, waiting: Sequence[Batch], before: int, after: int) -> None:
        from lakehouse.lake.erasure_requests import Tombstones

        gone, settings = 0, self._care.settings

        def kept(batches: Sequence[Batch]) -> Sequence[Batch]:
            nonlocal gone
            left = _without(batches, Tombstones(settings.lake, settings).of(self._import.tenant))
            gone = _rows(batches) - _rows(left)
            return left

        self._leave_to_lake({batch.day for batch in waiting})
        self._outcome.landed += _rows(self._import.land(waiting, before, after, kept))
        self._outcome.erased += gone

    def _leave_to_lake(self, days: set[dt.date]) -> None:
        """A day that the hot store answers for would hide the new rows until it is rebuilt, and this may be killed."""
        kind = self._options.kind
        for day in sorted(days & set(self._care.hot.days(kind))):
            self._care.hot.forget(kind, day)
            self._forgotten.add(day)
        self._outcome.days |= days

    def _heal(self) -> None:
        """A day that the hot store answered for, as one that was rebuilt, does so again, with the new rows."""
        kind = self._options.kind
        for day in sorted(self._forgotten | self._outcome.days & set(self._care.hot.days(kind))):
            from lakehouse.upkeep.rebuild.hot_day import rebuild_hot

            rebuild_hot(self._care, kind, day)

    def _tell(self, done: int) -> None:
        found, days = self._outcome, sorted(self._outcome.days)
        told = [counted(found.landed, "record") + " into the lake" + (f" ({days[0]} to {days[-1]})" if days else "")]
        if found.sent:
            told.append(f"{found.sent:,} of the last days onto the bus")
        if found.erased:
            told.append(f"{found.erased:,} left out, of subjects that were erased")
        again = f", after {counted(done, 'part')} that had landed before" if done else ""
        out.print(f"{self._path}: {', '.join(told)}{again}", markup=False)
        if found.rejected:
            line = f"{counted(found.rejected, 'record')} refused, with the reason of each in {self._rejects}"
            out.print(line, markup=False, style="bold red")


def _without(days: Sequence[Batch], erased: Sequence[Tests]) -> list[Batch]:
    """What was erased does not come back out of an old file: records up to the day of the erasure."""
    from flows.write.erasing import erased_lines

    left = []
    for each in days:
        first_ns = min(row.timestamp_ns for row in each.rows)
        early = replace(each, header=msgspec.structs.replace(each.header, received_ns=first_ns))
        gone = erased_lines(early, erased)
        if rows := [row for row in each.rows if row.index not in gone]:
            left.append(replace(each, rows=rows, received=len(rows)))
    return left


def _rows(batches: Sequence[Batch]) -> int:
    return sum(len(batch.rows) for batch in batches)
