"""Erasing on the bus: a message of the bus -> the same message with the records of erased subjects blanked.

It is read as the flow reads it, so the same records are found. An emptied line keeps the numbers of the others, and the
headers say how many records went: a replay counts them as dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import zstandard

from bus.sqlite.erase import erase, scrub
from bus.topics import topic_named
from contracts.batches import Batch
from contracts.messages import Kind, Message, erased_in, with_erased
from contracts.settings import Settings
from contracts.tenants import Tenant
from flows.arrivals import arrival
from flows.graph import parser
from flows.parse.batch import payload_limit
from flows.parse.decode import plain
from flows.write.erasing import erased_lines
from lakehouse.lake.erasure_tests import Subject, Tests


def eraser(kind: Kind, subject: Subject, settings: Settings) -> Callable[[int, Message], Message | None]:
    """A function of (partition, message); None when nothing of the subject is in it."""
    parse, tests, foreign = parser(kind, settings), Tests(subject), Tenant(settings.foreign_tenant)
    most = payload_limit(settings)

    def erased(partition: int, message: Message) -> Message | None:
        arrived = arrival(kind, foreign, partition, message)
        if arrived.header.tenant != subject.tenant or not message.payload:
            return None
        batch = parse(arrived)
        if not isinstance(batch, Batch) or not (gone := erased_lines(batch, [tests])):
            return None
        known = erased_in(message.headers)
        told = [getattr(record, "payload", b"") for record in (*batch.rejects, *batch.rows)]
        if message.payload in told or len(gone) == batch.received - known:
            return replace(message, payload=b"", headers=with_erased(message.headers, batch.received))
        packed = arrived.header.encoding == "zstd"
        lines = [b"" if index in gone else line for index, line in enumerate(plain(arrived, most).split(b"\n"))]
        left = b"\n".join(lines)
        return replace(
            message,
            payload=zstandard.ZstdCompressor(level=1).compress(left) if packed else left,
            headers=with_erased(message.headers, known + len(gone)),
        )

    return erased


@dataclass(frozen=True, slots=True)
class OnBus:
    """What was done, or would be, on one topic.

    Attributes:
        messages: That were looked through; 0 where the engine cannot change what it holds.
        records: Blanked; the lines of the subject that were found.
        kept_until_ns: Until when the engine keeps the bytes, as it cannot change them; None: they are gone.
    """

    messages: int = 0
    records: int = 0
    kept_until_ns: int | None = None


def erase_on_bus(
    settings: Settings,
    subject: Subject,
    now_ns: int,
    dry_run: bool = False,
    reached: Callable[[], object] = lambda: None,
) -> dict[str, OnBus]:
    """Blank the subject's records on every topic of the kinds that it names, and in the dead letters. Idempotent.

    Raises:
        BusError: It could not be finished; the same call may be repeated.
    """
    topics = {kind.topic: kind for kind in (*subject.where, Kind.DEAD_LETTERS)}
    if not settings.bus.startswith("sqlite:"):
        hours = {topic: topic_named(topic, settings, 1).retention_h for topic in topics}
        return {topic: OnBus(kept_until_ns=now_ns + int(kept_h * 3600e9)) for topic, kept_h in hours.items()}
    path = Path(settings.bus.partition("://")[2][1:])
    done = {}
    for topic, kind in topics.items():
        count = _Counted(eraser(kind, subject, settings), dry_run)
        looked, _ = erase(path, topic, count, reached)
        done[topic] = OnBus(looked, count.records)
    if not dry_run:
        scrub(path)
    return done


class _Counted:
    """An eraser that counts what it blanks, and on a dry run changes nothing."""

    def __init__(self, change: Callable[[int, Message], Message | None], dry_run: bool) -> None:
        self._change, self._dry_run, self.records = change, dry_run, 0

    def __call__(self, partition: int, message: Message) -> Message | None:
        changed = self._change(partition, message)
        if changed is None:
            return None
        self.records += erased_in(changed.headers) - erased_in(message.headers)
        return None if self._dry_run else changed
