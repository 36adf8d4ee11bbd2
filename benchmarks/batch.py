"""The batch tiers: 5 million records of three days, as flows land them -> compaction, archive, checks, drops; a table.

    python -m benchmarks.batch [--records 5000000]

Half of the records are of the first day. Each step is a process of its own.
Exits with the number of floors that were missed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.days import TENANT, Landed, land
from benchmarks.end_to_end import platform
from benchmarks.lake import median_ms
from benchmarks.processes import Meter
from contracts.messages import Kind
from contracts.query import RecordQuery, Term
from contracts.settings import Settings, load_settings
from lakehouse import open_lake
from lakehouse.read.search import Search

COMMIT_ROWS = 10_000  # as many commits as a day of flows has would take longer than all the rest
IDLE_S = 30.0
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Measured:
    """`floor` is the most allowed, or with `least` the least; None is no floor."""

    what: str
    value: float
    unit: str
    floor: float | None = None
    least: bool = False

    @property
    def held(self) -> bool:
        return self.floor is None or (self.value >= self.floor if self.least else self.value <= self.floor)

    def __str__(self) -> str:
        floor = "" if self.floor is None else f"{'>=' if self.least else '<='} {self.floor:,.1f}"
        return f"  {self.what:<46} {self.value:>12,.1f} {self.unit:<10} {floor:>14}  {'' if self.held else 'MISSED'}"


def step(name: str, settings: Settings, day: dt.date) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.batch_steps", name, str(settings.data_dir), day.isoformat()]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def compaction(settings: Settings, landed: Landed) -> list[Measured]:
    done = step("compact", settings, landed.days[0])
    if done["rows"] != landed.rows[0] or done["repeated"]:
        raise SystemExit(f"{landed.rows[0]} records of a day, after compaction: {done}")
    return [
        Measured("compaction of a closed day", done["rows"] / done["took_s"], "rows/s", 300_000, least=True),
        Measured("compaction, CPU-s per million rows", done["cpu_s"] / done["rows"] * 1e6, "CPU-s"),
        Measured("compaction, peak memory", done["peak_mib"], "MiB", 900),
        Measured("compacted, bytes per record", done["bytes"] / done["rows"], "B"),
    ]


def query_meanwhile(settings: Settings, landed: Landed) -> list[Measured]:
    """A search for a frequent word in the lake, alone and while a day is compacted."""
    lake = open_lake(settings.lake, settings)
    search = Search(None, lake, settings)
    asked = RecordQuery(Kind.LOGS, Term("body", "exponential"), None, None, 100)

    def ask() -> None:
        search.records(TENANT, asked)

    idle_ms, busy_ms = median_ms(ask), []
    compacting = threading.Thread(target=step, args=("compact", settings, landed.days[1]))
    compacting.start()
    while compacting.is_alive():
        started_s = time.perf_counter()
        ask()
        busy_ms.append((time.perf_counter() - started_s) * 1000)
    lake.close()
    during_ms = sorted(busy_ms)[len(busy_ms) // 2]
    return [
        Measured("query, idle", idle_ms, "ms"),
        Measured("query during compaction, against idle", during_ms / idle_ms, "times", 2),
    ]


def tiers(settings: Settings, landed: Landed) -> list[Measured]:
    first, second, third = landed.days
    checked = step("profile", settings, first)
    moved = step("archive", settings, first)
    ndjson = landed.ndjson_bytes / sum(landed.rows)
    archived = moved["bytes"] / moved["rows"]
    dropped = step("drop_warm", settings, second)
    step("rebuild", settings, third)
    hot = step("drop_hot", settings, third)
    if dropped["rows"] != landed.rows[1] or not hot["held"]:
        raise SystemExit(f"a day was not there to be dropped: {dropped}, {hot}")
    return [
        Measured(f"profile and {checked['checks']} checks of a day", checked["warm_s"], "s", 4),
        Measured("importing the library of the checks, once a run", checked["import_s"], "s"),
        Measured("profile and checks, peak memory", checked["peak_mib"], "MiB"),
        Measured("archived, bytes per record", archived, "B", 45),
        Measured("as NDJSON under zstd -3, bytes per record", ndjson, "B"),
        Measured("archived, against NDJSON under zstd -3", archived / ndjson, "times", 1),
        Measured("moving a day to the archive", moved["rows"] / moved["took_s"], "rows/s"),
        Measured("moving a day, CPU-s per million rows", moved["cpu_s"] / moved["rows"] * 1e6, "CPU-s"),
        Measured("moving a day, peak memory", moved["peak_mib"], "MiB"),
        Measured("dropping a day of the lake", dropped["took_s"], "s", 1),
        Measured("dropping a day of the hot store", hot["drop_s"], "s", 1),
    ]


def idle_memory(folder: Path) -> list[Measured]:
    """Of Dagster's daemon and webserver, which `headwater up` runs as one process, half a minute after the start."""
    meter = Meter()
    with platform(folder, meter, {"HEADWATER_DAGSTER_PORT": "0"}, batch=True) as running:
        time.sleep(IDLE_S)
        tree = psutil.Process(running.pid).children(recursive=True)
        ours = [process for process in tree if "headwater.supervision.batch" in process.cmdline()]
        anonymous = sum(process.memory_full_info().uss for process in ours)
    meter.close()
    if not ours:
        raise SystemExit("headwater up runs no batch tiers")
    return [Measured("daemon and webserver, idle", anonymous / MIB, "MiB", 350)]


def run(settings: Settings, records: int, folder: Path) -> Sequence[Measured]:
    days = [records // 2, records // 4, records // 4]
    started_s = time.perf_counter()
    landed = land(settings, days, folder, COMMIT_ROWS)
    took_s = time.perf_counter() - started_s
    print(f"  {sum(days):,} records landed in {landed.commits} commits, {took_s:.0f} s", flush=True)
    rows: list[Measured] = []
    for measure in (compaction, query_meanwhile, tiers):
        for measured in measure(settings, landed):
            print(measured, flush=True)
            rows.append(measured)
    for measured in idle_memory(folder.parent / "idle"):
        print(measured, flush=True)
        rows.append(measured)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=5_000_000, help="over three days (default 5,000,000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headwater-bench-") as folder:
        (Path(folder) / "slices").mkdir()
        (Path(folder) / "idle").mkdir()
        settings = load_settings(data_dir=Path(folder) / "data")
        rows = run(settings, options.records, Path(folder) / "slices")
    return sum(not measured.held for measured in rows)


if __name__ == "__main__":
    raise SystemExit(main())
