"""The accept path: prebuilt batches over HTTP -> durable on the bus, in records/s and CPU-s per million records.

    python -m benchmarks.accept [--seconds 5] [--connections 8]

A real server process on a fresh folder, and one client process; bodies of 1,000 records, zstd, gzip and plain.
Each answer is checked to be 202 with every record accepted. Floor: 100,000 records/s with zstd; exit code 1 below it.
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


@dataclass(frozen=True, slots=True)
class Target:
    """Where a client sends, and as whom."""

    port: int
    key: str
    encoding: str


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
def server(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A running ingestion service and its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mine = {"HEADWATER_DATA_DIR": str(folder), "HEADWATER_PORT": str(port)}
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


def client(target: Target, batches: list[bytes], connections: int, seconds: float, sent: object) -> None:
    """A process that posts for `seconds` over a few connections and puts the number of batches into `sent`."""
    counts = [0] * connections
    until = time.monotonic() + seconds

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
            connection.request("POST", "/logs", batches[counts[number] % len(batches)], headers)
            response = connection.getresponse()
            answer = response.read()
            assert response.status == 202, answer
            assert answer.startswith(b'{"accepted":1000,'), answer
            counts[number] += 1

    threads = [threading.Thread(target=post, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent.value = sum(counts)  # type: ignore[attr-defined] # a shared value


def measure(pid: int, target: Target, plain: list[bytes], connections: int, seconds: float) -> tuple[float, float]:
    """(records/s, server CPU-s per million records)."""
    sent = multiprocessing.Value("q", 0)
    batches = encoded(plain, target.encoding)
    process = multiprocessing.Process(target=client, args=(target, batches, connections, seconds, sent))
    before = sum(psutil.Process(pid).cpu_times()[:2])
    began = time.perf_counter()
    process.start()
    process.join()
    wall_s = time.perf_counter() - began
    cpu_s = sum(psutil.Process(pid).cpu_times()[:2]) - before
    records = sent.value * BATCH
    return records / wall_s, cpu_s / records * 1e6 if records else float("inf")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args()
    plain = bodies()
    print(f"{BATCH} records a batch, {sum(map(len, plain)) / BATCH / len(plain):.0f} B a record")
    print(f"{'encoding':10}{'records/s':>12}{'server CPU-s per million':>28}{'server MiB':>12}")
    reached = {}
    with tempfile.TemporaryDirectory() as name, server(Path(name)) as (process, port):
        key = create_key(Path(name) / "keys" / "keys.json", tenant_named("bench"), Role.INGEST).token
        for encoding in ("zstd", "gzip", "plain"):
            target = Target(port, key, encoding)
            rate, cpu = measure(process.pid, target, plain, options.connections, options.seconds)
            memory = psutil.Process(process.pid).memory_full_info().uss / 2**20
            reached[encoding] = rate
            print(f"{encoding:10}{rate:12,.0f}{cpu:28.2f}{memory:12.0f}", flush=True)
    if reached["zstd"] < FLOOR:
        print(f"below the floor of {FLOOR:,} records/s")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
