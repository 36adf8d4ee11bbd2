"""Hot store on OpenSearch: our writer against the engine's own bulk API, with the same documents in one run.

    python -m benchmarks.hot_opensearch [RECORDS] [--url opensearch://HOST:PORT] [--rounds N] [--every ROWS]

Without a URL an engine is started for the run (1 GiB of heap). Rows are made before the clock starts. The bare client
sends documents that were encoded before its clock starts, by two threads of 2,000 documents a request, looks at nothing
but "errors", and makes them searchable as often as the writer does; the writer encodes, sends, looks at outcomes,
refreshes and writes checkpoints. Rounds alternate.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import secrets
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.hot import ask, batches, questions
from contracts.batches import Batch
from contracts.messages import Kind
from contracts.settings import Settings, load_settings
from lakehouse import open_hot
from lakehouse.hot.opensearch import document

DOCS, THREADS = 2000, 2
_TICKS_S = 100


@dataclass
class Engine:
    """`pid` 0: not on this machine, its CPU is not known."""

    url: str
    pid: int = 0

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.url.removeprefix("opensearch://").split(",")[0], timeout=120)

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, path, body, {"content-type": "application/json"})
            return connection.getresponse().read()

    def cpu_s(self) -> float:
        if not self.pid:
            return 0.0
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_S


@contextlib.contextmanager
def engine(url: str) -> Iterator[Engine]:
    if url:
        yield Engine(url)
        return
    from scripts.engines import opensearch

    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        opensearch.running(home=Path(folder), heap_mib=1024) as running,
    ):
        yield Engine(running.url, running.node.pid)


@dataclass
class Spent:
    wall_s: float
    own_cpu_s: float
    engine_cpu_s: float


@contextlib.contextmanager
def clocked(target: Engine, spent: list[Spent]) -> Iterator[None]:
    wall, own, engines = time.perf_counter(), time.process_time(), target.cpu_s()
    yield
    spent.append(Spent(time.perf_counter() - wall, time.process_time() - own, target.cpu_s() - engines))


def bare(target: Engine, made: Sequence[Batch], prefix: str, every: int, spent: list[Spent]) -> None:
    """The documents of `made` by the bulk API alone, into an index from the same template."""
    index = f"{prefix}-logs-{made[0].day:%Y.%m.%d}"
    lines = [line for batch in made for line in document.lines(batch)]
    bodies = [b"".join(lines[at : at + DOCS]) for at in range(0, len(lines), DOCS)]
    refreshing = max(1, every // DOCS)
    target.call("PUT", f"/{index}")
    waiting = iter(enumerate(bodies, start=1))
    lock = threading.Lock()

    def send() -> None:
        with contextlib.closing(target.connect()) as connection:
            while True:
                with lock:
                    number, body = next(waiting, (0, b""))
                if not number:
                    return
                connection.request("POST", f"/{index}/_bulk", body, {"content-type": "application/x-ndjson"})
                answer = connection.getresponse().read()
                assert b'"errors":false' in answer, answer[:300]
                if number % refreshing == 0:
                    target.call("POST", f"/{index}/_refresh")

    with clocked(target, spent):
        threads = [threading.Thread(target=send) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        target.call("POST", f"/{index}/_refresh")
    target.call("DELETE", f"/{index}")


def ours(target: Engine, made: Sequence[Batch], settings: Settings, every: int, spent: list[Spent]) -> None:
    with (
        contextlib.closing(open_hot(target.url, settings)) as hot,
        contextlib.closing(hot.writer(Kind.LOGS)) as writer,
        clocked(target, spent),
    ):
        waiting = 0
        for batch in made:
            writer.append([batch])
            waiting += len(batch.rows)
            if waiting >= every:
                writer.commit()
                waiting = 0
        writer.commit()


def prepared(target: Engine) -> Settings:
    """Settings with a prefix of their own, whose templates are applied."""
    settings = load_settings(_env_file=None, opensearch_prefix=f"b{secrets.token_hex(3)}", opensearch_replicas=0)
    with contextlib.closing(open_hot(target.url, settings)) as hot:
        hot.writer(Kind.LOGS).close()
    return settings


def show(name: str, spent: Sequence[Spent], records: int) -> float:
    rate = statistics.median(records / each.wall_s for each in spent)
    own, engines = (
        statistics.median(getattr(each, part) for each in spent) / records * 1e6
        for part in ("own_cpu_s", "engine_cpu_s")
    )
    rounds = " ".join(f"{records / each.wall_s:,.0f}" for each in spent)
    print(f"{name:<12} {rate:>9,.0f} docs/s   own {own:5.2f}, engine {engines:5.2f} CPU-s per million   ({rounds})")
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hot_opensearch")
    parser.add_argument("records", nargs="?", type=int, default=200_000)
    parser.add_argument("--url", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--every", type=int, default=50_000, help="rows of a commit")
    options = parser.parse_args()
    made = list(batches(options.records))
    with engine(options.url) as target:
        bares, own = list[Spent](), list[Spent]()
        for number in range(options.rounds + 1):  # the first one warms the engine up
            bare(target, made, prepared(target).opensearch_prefix, options.every, bares)
            last = prepared(target)
            ours(target, made, last, options.every, own)
            if number < options.rounds:
                target.call("DELETE", f"/{last.opensearch_prefix}-logs-{made[0].day:%Y.%m.%d}")
        ratio = show("our writer", own[1:], options.records) / show("bare client", bares[1:], options.records)
        print(f"our writer takes {ratio:.0%} of what the bare client does")
        with contextlib.closing(open_hot(target.url, last)) as hot:
            (day,) = hot.days(Kind.LOGS)
            target.call("POST", f"/{last.opensearch_prefix}-logs-*/_forcemerge?max_num_segments=1")
            print(f"bytes per record            {hot.size_bytes(Kind.LOGS, day) / options.records:8.1f}")
            for name, node in questions("tok1").items():
                hits, median_ms = ask(hot, node)
                print(f"{name:<27} {median_ms:8.2f} ms  {hits} hits")


if __name__ == "__main__":
    main()
