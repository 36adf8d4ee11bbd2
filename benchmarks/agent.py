"""Agent stage: lines in a file -> tail, disk buffer, zstd, HTTP -> a sink in another process.

    python -m benchmarks.agent [--records 300000] [--bytes 150]

Prints CPU-seconds per million records of the agent process alone, started for real and ended when all is acknowledged.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import socket
import sys
import tempfile
import time
from pathlib import Path

ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 29\r\n\r\n"
ANSWER += b'{"accepted":1,"rejected":[] }'


def serve(listener: socket.socket) -> None:
    """Read requests and answer 202; nothing more, so that the agent is what is measured."""
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            while stream.readline():
                length = 0
                while (line := stream.readline().strip()) != b"":
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                stream.read(length)
                connection.sendall(ANSWER)


def write_lines(path: Path, count: int, size: int) -> None:
    rng = random.Random(1)
    words = [f"{rng.getrandbits(40):x}" for _ in range(2000)]
    with path.open("w") as file:
        for number in range(count):
            line = f"2026-01-01T00:00:00.{number % 1000000:06d}Z INFO request={number} "
            while len(line) < size:
                line += words[rng.randrange(2000)] + " "
            file.write(line[:size] + "\n")


def measure(folder: Path, port: int) -> tuple[float, float]:
    """Wall and CPU seconds of one agent process from its start to its end."""
    environment = {
        **os.environ,
        "HEADWATER_INGEST_URL": f"http://127.0.0.1:{port}",
        "HEADWATER_API_KEY": "benchmark",
        "HEADWATER_AGENT_DIR": str(folder / "agent"),
    }
    command = [sys.executable, "-m", "agents", "logs", "--path", str(folder / "*.log"), "--service", "shop"]
    begun = time.perf_counter()
    process = os.posix_spawn(sys.executable, [*command, "--env", "bench", "--exit-when-idle"], environment)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"the agent ended with {status}")
    return time.perf_counter() - begun, usage.ru_utime + usage.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--bytes", type=int, default=150)
    given = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0))
    sink = multiprocessing.get_context("fork").Process(target=serve, args=(listener,), daemon=True)
    sink.start()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        port = listener.getsockname()[1]
        (folder / "empty.log").touch()
        _, idle_cpu = measure(folder, port)
        write_lines(folder / "shop.log", given.records, given.bytes)
        wall, cpu = measure(folder, port)
    sink.terminate()
    sink.join()
    print(f"{given.records:,} lines of {given.bytes} B: {wall:.2f} s, {given.records / wall:,.0f} records/s")
    print(f"agent: {(cpu - idle_cpu) * 1e6 / given.records:.2f} CPU-s per million records", end="")
    print(f", start-up {idle_cpu:.2f} CPU-s apart")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
