"""End to end: corpus lines in files -> agent -> ingestion -> bus -> flow -> hot store and Delta -> right answers.

    python -m benchmarks.end_to_end [--records 1000000] [--seconds 20] [--engines [kafka opensearch s3]]

Starts `headwater up` and `headwater agent logs` for real, on a temporary folder, and prints one table. CPU is summed
over all of our processes; the corpus is written before the clock starts. With `--engines` it runs on real engines
that it starts, with `--bus-url`, `--hot-url` and `--lake-url` on those that run: what they use themselves stands apart.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.corpus import SERVICES, Line, lines
from benchmarks.engines import Engines, add_options, engines
from benchmarks.processes import Meter, folder_bytes, started
from benchmarks.questions import Timed, ask, questions

SERVICE = "shop"
LOOK_S = 10.0  # at most, between looks at the account


@dataclass(frozen=True, slots=True)
class Running:
    """A started platform: where it listens, its keys, its folder."""

    url: str
    keys: dict[str, str]
    data: Path
    meter: Meter
    pid: int

    def client(self, role: str) -> httpx.Client:
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.keys[f'HEADWATER_{role}_KEY']}"}, timeout=60
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def read_keys(path: Path) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and not line.startswith("#"))
    return {name.removeprefix("export ").strip(): value.strip() for name, value in pairs}


@contextlib.contextmanager
def platform(folder: Path, meter: Meter, environment: Mapping[str, str], batch: bool = False) -> Iterator[Running]:
    """`headwater up` on `folder`, ready; without the batch tiers unless asked for."""
    port, data = free_port(), folder / "data"
    command = ["-m", "headwater", "up", *([] if batch else ["--no-batch"])]
    command += ["--data-dir", str(data), "--port", str(port)]
    with started(command, folder / "up.log", environment) as process:
        meter.watch(process.pid, "headwater up")
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{url}/health/ready").status_code == 200:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"headwater up did not become ready:\n{(folder / 'up.log').read_text()[-2000:]}")
            time.sleep(0.1)
        yield Running(url, read_keys(data / "keys" / "default.env"), data, meter, process.pid)


def write_corpus(folder: Path, count: int) -> list[Line]:
    """The corpus as one file a service, in `folder`."""
    corpus = list(lines(count))
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        files = {name: stack.enter_context((folder / f"{name}.log").open("w")) for name in SERVICES}
        for line in corpus:
            files[line.service].write(line.text + "\n")
    return corpus


def account(client: httpx.Client) -> dict[str, Any]:
    """The conservation equation of the logs, as REST gives it; {} when it cannot be told now."""
    answer = client.get("/conservation")
    if answer.status_code == 503:
        print(f"  not accounted for now: {answer.text[:300]}", flush=True)
        return {}
    for entry in answer.raise_for_status().json()["accounts"]:
        if entry["kind"] == "logs":
            return dict(entry)
    return {}


def wait_until_landed(client: httpx.Client, count: int, timeout_s: float = 900) -> float:
    """Until `count` logs are received and none is in flight to the lake; when they all were searchable, on the way."""
    deadline = time.monotonic() + timeout_s
    searchable_s = 0.0
    entry: dict[str, Any] = {}
    while time.monotonic() < deadline:
        entry = account(client)
        if entry and entry["received"] >= count:
            if not searchable_s and not entry["lag"]["hot"]["records"]:
                searchable_s = time.perf_counter()
            if not entry["in_flight"]:
                return searchable_s
        time.sleep(pause_s(entry))
    raise SystemExit(f"{count} records did not land in {timeout_s} s: {entry}")


def pause_s(entry: dict[str, Any]) -> float:
    """How long until the next look: it takes the services CPU too, so seldom while much is on its way."""
    lag = entry["lag"]["hot"]["records"] if entry else 0
    return min(LOOK_S, max(1.0, lag / 50_000))


def ship(running: Running, folder: Path, logs: Path, count: int) -> tuple[float, float, float]:
    """Tail `logs` with the real agent; wall seconds until searchable, until landed in the lake, and CPU-seconds."""
    environment = {
        "HEADWATER_INGEST_URL": running.url,
        "HEADWATER_API_KEY": running.keys["HEADWATER_INGEST_KEY"],
        "HEADWATER_AGENT_DIR": str(folder / "agent"),
    }
    command = ["-m", "agents", "logs", "--path", str(logs / "*.log"), "--service", SERVICE, "--env", "bench"]
    cpu, begun = running.meter.cpu_s(), time.perf_counter()
    with (
        running.client("READ") as client,
        started([*command, "--exit-when-idle"], folder / "agent.log", environment) as process,
    ):
        running.meter.watch(process.pid, "agents")
        searchable_s = wait_until_landed(client, count)
        return searchable_s - begun, time.perf_counter() - begun, running.meter.cpu_s() - cpu


def post_load(running: Running, rate: float, stop: threading.Event) -> None:
    """Post prepared records at `rate` records/s in batches of 500 until told to stop."""
    batch = "\n".join(json.dumps({"body": line.text, "service": "load"}) for line in lines(500, seed=2)).encode()
    due = time.perf_counter()
    with running.client("INGEST") as client:
        while not stop.is_set():
            client.post("/logs", content=batch, headers={"Content-Type": "application/x-ndjson"})
            due += 500 / rate
            stop.wait(max(0.0, due - time.perf_counter()))


def searchable_s(running: Running, rate: float, seconds: float) -> list[float]:
    """Seconds from a record's 202 request until a search finds it, under load; ascending."""
    stop = threading.Event()
    load = threading.Thread(target=post_load, args=(running, rate, stop), daemon=True)
    load.start()
    delays: list[float] = []
    ends = time.perf_counter() + seconds
    with running.client("INGEST") as sender, running.client("READ") as reader:
        while time.perf_counter() < ends:
            token = f"probe{len(delays)}x{time.monotonic_ns():x}"
            begun = time.perf_counter()
            sender.post("/logs", json=[{"body": f"a probe {token}", "service": "probe"}]).raise_for_status()
            while (
                not reader.get("/logs/search", params={"q": token, "limit": "1"}).raise_for_status().json()["records"]
            ):
                time.sleep(0.02)
            delays.append(time.perf_counter() - begun)
    stop.set()
    load.join()
    return sorted(delays)


def quantile(ascending: Sequence[float], share: float) -> float:
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]


Rows = list[tuple[str, str]]


def run(count: int, seconds: float, folder: Path, on: Engines) -> int:
    """Measure and print; the number of wrong answers."""
    meter = Meter()
    corpus = write_corpus(folder / "logs", count)
    with platform(folder, meter, on.environment) as running:
        before = on.cpu_s()
        wall, landed, cpu = ship(running, folder, folder / "logs", count)
        rows: Rows = [
            ("records", f"{count:,}"),
            ("all searchable", f"after {wall:.1f} s, {count / wall:,.0f} records/s"),
            ("all in the lake", f"after {landed:.1f} s (a commit every 10 s, or 50,000 rows)"),
            ("CPU of our processes", f"{cpu * 1e6 / count:.1f} CPU-s per million records"),
            *((f"  {name}", f"{s * 1e6 / count:.1f}") for name, s in sorted(meter.by_name().items())),
            *((f"CPU of {name}", f"{(s - before[name]) * 1e6 / count:.1f}") for name, s in on.cpu_s().items()),
            ("peak memory, our processes", f"{meter.peak_mib:.0f} MiB, {meter.peak_mapped_mib:.0f} with mapped files"),
            *((f"peak memory, {name}", f"{each.peak_mib:.0f} MiB") for name, each in on.meters.items()),
            *((f"bytes per record, {name}", f"{size / count:.0f}") for name, size in stored(running, on).items()),
        ]
        with running.client("READ") as client:
            answers = [ask(client, question) for question in questions(corpus, SERVICE)]
        rows += [(f"query: {timed.name}", told(timed)) for timed in answers]
        delays = searchable_s(running, count / wall / 2, seconds)
        of = f"p50 {quantile(delays, 0.5):.2f} s, p99 {quantile(delays, 0.99):.2f} s of {len(delays)}"
        rows.append((f"searchable at half load ({count / wall / 2:,.0f}/s)", of))
    meter.close()
    for name, value in rows:
        print(f"  {name:<40} {value}")
    return sum(bool(timed.wrong) for timed in answers)


def stored(running: Running, on: Engines) -> dict[str, int]:
    """Bytes on disk by store, of those that are known."""
    embedded = {"bus": "bus.db", "hot": "hot", "lake": "lake"}
    ours = {name: running.data / file for name, file in embedded.items() if (running.data / file).exists()}
    return {name: folder_bytes(path) for name, path in ours.items()} | on.disk_bytes()


def told(timed: Timed) -> str:
    return f"{timed.p50_ms:.1f} ms, {timed.rows} rows{' WRONG: ' + timed.wrong if timed.wrong else ''}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000, help="corpus size (default 1,000,000)")
    parser.add_argument("--seconds", type=float, default=20, help="length of the half-load phase (default 20)")
    add_options(parser)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="headwater-bench-") as folder,
        engines(options, Path(folder) / "engines") as on,
    ):
        return run(options.records, options.seconds, Path(folder), on)


if __name__ == "__main__":
    raise SystemExit(main())
