"""The bus: appends of requests of 1,000 records, and reading them back -> records/s and CPU-s per million records.

python -m benchmarks.bus [--bus-url kafka://127.0.0.1:9092]

Of the embedded bus on a new file, or of another; on Kafka under a prefix of its own, which it leaves there.
A request is about 30 KB (compressed) or 280 KB (as it is). CPU time is that of the whole process, all threads.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bus import open_bus
from contracts.bus import Bus
from contracts.messages import BatchHeader, Kind, Message, to_headers
from contracts.settings import load_settings
from contracts.tenants import tenant_named

RECORDS = 1000
TOPIC = Kind.LOGS.topic


def request(number: int, size_bytes: int) -> Message:
    header = BatchHeader(
        tenant=tenant_named("default"),
        kind=Kind.LOGS,
        producer="0123456789abcdef",
        stream="/var/log/app/current.log",
        sequence=number * RECORDS,
        count=RECORDS,
        span=RECORDS,
        received_ns=time.time_ns(),
        size_bytes=size_bytes,
    )
    return Message(random.Random(number).randbytes(size_bytes), to_headers(header))


def measured(label: str, records: int, work: Callable[[], object]) -> None:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    print(f"{label:<36} {records / wall_s:>12,.0f} records/s {cpu_s / records * 1e6:>8.3f} CPU-s per million records")


def append_all(bus: Bus, messages: Sequence[Message], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for thread in range(threads):
            pool.submit(append_each, bus, f"key {thread}", messages[thread::threads])


def append_each(bus: Bus, key: str, messages: Sequence[Message]) -> None:
    for message in messages:
        bus.append(TOPIC, key, [message])


def read_all(bus: Bus, headers_only: bool) -> None:
    for partition in bus.partitions(TOPIC):
        with contextlib.closing(bus.reader(TOPIC, partition, 0)) as reader:
            while reader.headers(1000) if headers_only else reader.poll(1000):
                pass


def idle_poll_us(bus: Bus, looks: int = 20_000) -> float:
    with contextlib.closing(bus.reader(TOPIC, 0, 1 << 30)) as reader:
        started_s = time.process_time()
        for _ in range(looks):
            reader.poll(1000)
        return (time.process_time() - started_s) / looks * 1e6


def run(size_bytes: int, requests: int, threads: int, url: str) -> None:
    messages = [request(number, size_bytes) for number in range(requests)]
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        here = f"{url}/bench-{secrets.token_hex(4)}" if url else f"sqlite:///{folder}/bus.db"
        settings = load_settings(_env_file=None, bus_retention_h=72 if url else 1e-9)
        with contextlib.closing(open_bus(here, settings)) as bus:
            bus.partitions(TOPIC)
            records = requests * RECORDS
            case = f"{size_bytes // 1000} KB, {threads} thread{'s' if threads > 1 else ''}"
            measured(f"append  {case}", records, lambda: append_all(bus, messages, threads))
            print(f"{'':<36} {bus.size_bytes() / records:>12.1f} bytes per record on disk")
            measured(f"poll    {case}", records, lambda: read_all(bus, headers_only=False))
            measured(f"headers {case}", records, lambda: read_all(bus, headers_only=True))
            print(f"{'idle poll':<36} {idle_poll_us(bus):>12.1f} CPU-us")
            everything = {index: extent.next_offset for index, extent in bus.extents(TOPIC).items()}
            measured(f"trim    {case}", records, lambda: bus.trim(TOPIC, everything))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--bus-url", default="")
    options = parser.parse_args()
    for size_bytes, requests in ((30_000, 1000), (280_000, 300)):
        for threads in (1, 8):
            run(size_bytes, requests, threads, options.bus_url)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
