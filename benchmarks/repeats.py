"""Repeats: what a partition remembers of senders: memory, CPU, bytes written, bytes that a start reads.

    python -m benchmarks.repeats [--hours 2]

No bus and no flow: headers as they would come, saved every ten seconds into a folder. The floors: 1 KiB written per
1,000 records of agents, 32 MiB read at the full limits of keys and streams.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.corpus import BASE_NS
from contracts.messages import BatchHeader, Kind
from contracts.settings import Settings, load_settings
from contracts.tenants import tenant_named
from flows.read.memory import empty_repeats
from flows.read.repeats import HOUR_NS
from flows.read.saved_repeats import Recalled, SavedRepeats
from flows.read.saving_repeats import Saving
from lakehouse.delta.blobs import open_blobs

TENANT = tenant_named("default")
SECOND_NS = 1_000_000_000
SAVE_S = 10
RECORDS_PER_S = 7_500  # a quarter of 30,000: of one of four partitions
MIB = 1 << 20


def agents(count: int, lines: int, hours: float) -> Iterator[BatchHeader]:
    """Batches of `lines` records of `count` files in turn."""
    sequences = [0] * count
    for number in range(int(hours * 3600 * RECORDS_PER_S / lines)):
        each = number % count
        at_ns = BASE_NS + number * lines * SECOND_NS // RECORDS_PER_S
        yield header(f"agent-{each}", at_ns, lines, sequences[each], f"/var/log/app/{each}.log")
        sequences[each] += lines


def requests(lines: int, hours: float) -> Iterator[BatchHeader]:
    """Requests without key or sequence."""
    for number in range(int(hours * 3600 * RECORDS_PER_S / lines)):
        yield header(f"req:{number:032x}", BASE_NS + number * lines * SECOND_NS // RECORDS_PER_S, lines)


def header(producer: str, at_ns: int, lines: int, sequence: int = 0, stream: str = "") -> BatchHeader:
    return BatchHeader(
        tenant=TENANT,
        kind=Kind.LOGS,
        producer=producer,
        stream=stream,
        sequence=sequence,
        count=lines,
        span=lines,
        received_ns=at_ns,
    )


def saved_in(folder: str, settings: Settings) -> SavedRepeats:
    return SavedRepeats(open_blobs(folder, settings, "repeats"), 1, lambda: empty_repeats(settings))


def saving(folder: str, settings: Settings, headers: Iterator[BatchHeader]) -> tuple[int, int]:
    """Records, and bytes written for them."""
    known = Recalled(empty_repeats(settings), all_there=True)
    offset = records = 0
    saves, due_ns = Saving(saved_in(folder, settings), known, 0, lambda: offset, 0.0), BASE_NS
    for head in headers:
        known.repeats.fresh(head)
        offset, records = offset + 1, records + head.span
        if head.received_ns >= due_ns:
            due_ns = head.received_ns + SAVE_S * SECOND_NS
            saves.look(offset)
            saves.wait()
    saves.close(offset, time.monotonic() + 60)
    return records, saves.written_bytes


def full(folder: str, settings: Settings) -> None:
    """Both limits are reached; then a start."""
    before = psutil.Process().memory_info().rss
    known = Recalled(empty_repeats(settings), all_there=True)
    begun_s, offset = time.process_time(), 0
    saves = Saving(saved_in(folder, settings), known, 0, lambda: offset, 0.0)
    count = settings.idempotency_keys + settings.flow_streams
    for number in range(count + count // 4):
        is_key = number % count < settings.idempotency_keys
        name, stream = (f"key:{number}", "") if is_key else (f"agent-{number}", "/var/log/app.log")
        known.repeats.fresh(header(name, BASE_NS + number * HOUR_NS // count, 1, 0 if is_key else 7, stream))
        offset += 1
        if not number % 5_000:
            saves.look(offset)
            saves.wait()
    saves.close(offset, time.monotonic() + 60)
    took_us = (time.process_time() - begun_s) / offset * 1e6
    held = (psutil.Process().memory_info().rss - before) / MIB
    sizes = [path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()]
    begun_s = time.process_time()
    found = saved_in(folder, settings).at(offset)
    loaded_s = time.process_time() - begun_s
    print(f"  {settings.idempotency_keys:,} keys and {settings.flow_streams:,} streams, each with a gap:")
    print(f"    memory {held:.1f} MiB; {took_us:.1f} CPU-us a message, saving included")
    print(f"    a start reads at most {sum(sizes) / MIB:.1f} MiB in {len(sizes)} files, {loaded_s:.2f} CPU-s")
    if found.offset != offset:
        raise SystemExit(f"the state of {offset} was saved up to {found.offset}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--hours", type=float, default=2.0)
    hours, settings = arguments.parse_args().hours, load_settings()
    print(f"  {'at ' + format(RECORDS_PER_S, ',') + ' records/s of a partition':<44} {'bytes per 1,000 records':>24}")
    kinds = {
        "50 agents, batches of 1,000": agents(50, 1000, hours),
        "1,000 agents, batches of 1,000": agents(1000, 1000, hours),
        "1,000 agents, batches of 100": agents(1000, 100, hours),
        "requests of 1,000 without a sequence": requests(1000, hours),
        "requests of 100 without a sequence": requests(100, hours),
    }
    for name, headers in kinds.items():
        with tempfile.TemporaryDirectory() as folder:
            records, size = saving(folder, settings, headers)
            print(f"  {name:<44} {size / records * 1000:>24.0f}")
    with tempfile.TemporaryDirectory() as folder:
        full(folder, settings)


if __name__ == "__main__":
    main()
