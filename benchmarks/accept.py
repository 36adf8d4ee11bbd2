"""The accept path: prebuilt batches over HTTP -> durable on the bus, in records/s and CPU-s per million records.

    python -m benchmarks.accept [--seconds 5] [--connections 8] [--bus-url kafka://127.0.0.1:9092]

A real server process on a fresh folder, and one client process; bodies of 1,000 records, zstd, gzip and plain.
Each answer is checked to be 202 with every record accepted. Then zstd at half the rate that was reached, for the time
of one request. Floor: 100,000 records/s with zstd, 80,000 over Kafka; exit code 1 below it.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path

import psutil
import zstandard

from benchmarks.corpus import lines
from contracts.tenants import Role, tenant_named
from web.keys import create_key

ROOT = Path(__file__).resolve().parents[1]
BATCH = 1000
BATCHES = 40
FLOOR = 100_000
FLOOR_KAFKA = 80_000


@dataclass(frozen=True, slots=True)
class Target:
    """Where a client sends, as whom, and how many records/s at most (0: all it can)."""

    port: int
    key: str
    encoding: str
    rate: float = 0


def bodies() -> list[bytes]:
    """Prebuilt NDJSON of log records as an agent sends them."""
    records = [
        json.dumps(
            {
                "body": line.text,
                "observed_timestamp": line.timestamp_ns,
                "service": line.service,
                "env": "bench",
                "host": "host-1",
                "attributes": {"log.file.name": f"{line.service}.log"},
            },
            separators=(",", ":"),
        )
        for line in lines(BATCH * BATCHES)
    ]
    return ["\n".join(records[start : start + BATCH]).encode() for start in range(0, len(records), BATCH)]


def encoded(plain: list[bytes], encoding: str) -> list[bytes]:
    if encoding == "zstd":
        return [zstandard.ZstdCompressor(level=1).compress(body) for body in plain]
    return [gzip.compress(body, 1) for body in plain] if encoding == "gzip" else plain


@contextmanager
def server(folder: Path, bus_url: str = "") -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A running ingestion service and its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mine = {"HEADWATER_DATA_DIR": str(folder), "HEADWATER_PORT": str(port), "HEADWATER_BUS_URL": bus_url}
    environment = {**{k: v for k, v in os.environ.items() if not k.startswith("HEADWATER_")}, **mine}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "ingestion_api"], cwd=ROOT, env=environment, stderr=log)
        try:
            wait_for(process, port)
            yield process, port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(15)


def wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit("the server did not start")


def client(target: Target, batches: list[bytes], connections: int, seconds: float, took: Queue[list[float]]) -> None:
    """A process that posts for `seconds` over a few connections and puts the seconds of each request into `took`."""
    counts = [0] * connections
    times: list[float] = []
    began = time.monotonic()
    until = began + seconds
    pause_s = BATCH * connections / target.rate if target.rate else 0

    def post(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", target.port)
        headers = {
            "X-API-Key": target.key,
            "Content-Type": "application/x-ndjson",
            "X-Headwater-Producer": f"b{number}",
        }
        if target.encoding != "plain":
            headers["Content-Encoding"] = target.encoding
        headers["X-Headwater-Epoch"] = str(time.time_ns())
        while time.monotonic() < until:
            headers["X-Headwater-Sequence"] = str(counts[number] * BATCH)
            due = began + (counts[number] + number / connections) * pause_s
            time.sleep(max(0.0, due - time.monotonic()))
            start = time.perf_counter()
            connection.request("POST", "/logs", batches[counts[number] % len(batches)], headers)
            response = connection.getresponse()
            answer = response.read()
            times.append(time.perf_counter() - start)
            assert response.status == 202, answer
            assert answer.startswith(b'{"accepted":1000,'), answer
            counts[number] += 1

    threads = [threading.Thread(target=post, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took.put(times)


def measure(
    pid: int, target: Target, plain: list[bytes], connections: int, seconds: float
) -> tuple[float, float, list[float]]:
    """(records/s, server CPU-s per million records, seconds of each request in order)."""
    took: Queue[list[float]] = multiprocessing.Queue()
    batches = encoded(plain, target.encoding)
    process = multiprocessing.Process(target=client, args=(target, batches, connections, seconds, took))
    before = sum(psutil.Process(pid).cpu_times()[:2])
    began = time.perf_counter()
    process.start()
    times = sorted(took.get())
    process.join()
    wall_s = time.perf_counter() - began
    cpu_s = sum(psutil.Process(pid).cpu_times()[:2]) - before
    records = len(times) * BATCH
    return records / wall_s, cpu_s / records * 1e6 if records else float("inf"), times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--bus-url", default="", help="another bus than the embedded one")
    options = parser.parse_args()
    plain = bodies()
    print(f"{BATCH} records a batch, {sum(map(len, plain)) / BATCH / len(plain):.0f} B a record")
    print(f"{'encoding':12}{'records/s':>12}{'CPU-s per million':>20}{'server MiB':>12}{'p50 ms':>10}{'p99 ms':>10}")
    reached: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, server(Path(folder), options.bus_url) as (process, port):
        key = create_key(Path(folder) / "keys" / "keys.json", tenant_named("bench"), Role.INGEST).token
        for name, encoding in (("zstd", "zstd"), ("gzip", "gzip"), ("plain", "plain"), ("zstd, half", "zstd")):
            target = Target(port, key, encoding, reached["zstd"] / 2 if "half" in name else 0)
            rate, cpu, times = measure(process.pid, target, plain, options.connections, options.seconds)
            memory = psutil.Process(process.pid).memory_full_info().uss / 2**20
            reached[name] = rate
            p50, p99 = (times[int(len(times) * part)] * 1000 for part in (0.5, 0.99))
            print(f"{name:12}{rate:12,.0f}{cpu:20.2f}{memory:12.0f}{p50:10.1f}{p99:10.1f}", flush=True)
    floor = FLOOR_KAFKA if options.bus_url else FLOOR
    if reached["zstd"] < floor:
        print(f"below the floor of {floor:,} records/s")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
