"""Rollups: a month of metric points -> CPU to roll up and merge them, bytes, and a 30-day question from raw and rollup.

    python -m benchmarks.rollups [HOSTS]

One metric of HOSTS hosts (default 4), a point every 10 s for 30 days: 1.04 million points for 4. In a temporary folder;
making the points is not counted. CPU is process time, threads included.
"""

from __future__ import annotations

import datetime as dt
import math
import random
import resource
import sys
import tempfile
import time
from dataclasses import replace

import pyarrow as pa

from contracts.messages import Kind
from contracts.query import All, MetricQuery
from contracts.settings import load_settings
from contracts.tenants import tenant_named
from lakehouse.delta.schemas import ROLLUPS, SCHEMAS
from lakehouse.delta.table import Delta
from lakehouse.read.search import Search
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.rollups.rollups import merge, roll_up

TENANT = tenant_named("bench")
FIRST = dt.date(2026, 3, 1)
DAYS, EVERY_S, SEED = 30, 10, 1
START_NS = int(dt.datetime.combine(FIRST, dt.time(), dt.UTC).timestamp()) * 10**9


def day_of_points(number: int, hosts: int, chance: random.Random) -> pa.Table:
    schema, ticks = SCHEMAS[Kind.METRICS.value], 86_400 // EVERY_S
    count = ticks * hosts
    first_us = START_NS // 1000 + number * 86_400 * 10**6
    at = pa.array([first_us + tick * EVERY_S * 10**6 + host * 997 for host in range(hosts) for tick in range(ticks)])
    values = [
        20 + 15 * math.sin(tick / 900) + chance.lognormvariate(0, 1) for _ in range(hosts) for tick in range(ticks)
    ]
    constant = {"day": FIRST + dt.timedelta(number), "tenant": str(TENANT), "service": "node", "env": "prod"}
    constant |= {"name": "system.cpu.percent", "unit": "%", "metric_kind": "gauge", "attributes": '{"cpu":"all"}'}
    constant |= {"producer": "p", "epoch": 1, "stream": "", "bus_partition": 0, "pipeline": "bench"}
    arrays = {name: pa.repeat(pa.scalar(value, schema.field(name).type), count) for name, value in constant.items()}
    arrays |= {"timestamp": at.cast(schema.field("timestamp").type), "value": pa.array(values)}
    arrays |= {"host": pa.array([f"host-{host}" for host in range(hosts) for _ in range(ticks)])}
    arrays["observed_timestamp"] = arrays["timestamp"]
    order = pa.array([tick * hosts + host for host in range(hosts) for tick in range(ticks)])
    arrays |= {"sequence": order, "bus_offset": pa.array([number * ticks + n.as_py() // hosts for n in order])}
    arrays["bus_index"] = pa.array([n.as_py() % hosts for n in order], pa.int32())
    return pa.table([arrays[name] for name in schema.names], schema=schema)


def size_of(table: Delta) -> str:
    files = table.files()
    rows, size = (sum(file[name] for file in files) for name in ("num_records", "size_bytes"))
    return f"{rows:>9} rows {size / 2**20:7.2f} MiB in {len(files)} files"


def upkeep(care: Care) -> None:
    raw = care.table(Kind.METRICS.value)
    print(f"raw         {size_of(raw)}")
    cpu, wall = time.process_time(), time.perf_counter()
    done = roll_up(care)
    cpu_s, wall_s = time.process_time() - cpu, time.perf_counter() - wall
    points = done["metrics_1m"].rows_in
    print(f"roll up     {cpu_s / points * 1e6:5.2f} CPU-s/M points, {wall_s / points * 1e6:5.2f} s/M, both tables")
    for name in ROLLUPS:
        print(f"{name:11} {size_of(care.table(name))}")
    cpu, wall = time.process_time(), time.perf_counter()
    for name in ROLLUPS:
        for number in range(DAYS):
            merge(care, name, FIRST + dt.timedelta(number))
    print(f"merge       {time.process_time() - cpu:5.2f} CPU-s, {time.perf_counter() - wall:5.2f} s for {DAYS} days")
    for name in ROLLUPS:
        print(f"{name:11} {size_of(care.table(name))}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")


def ask(care: Care) -> None:
    search = Search(None, care.lake, care.settings)
    month = MetricQuery(
        "system.cpu.percent", "avg", 3600 * 10**9, START_NS, START_NS + DAYS * 86_400 * 10**9, All(), ("host",)
    )
    for agg in ("avg", "p95"):
        for resolution in ("raw", "1m", "1h"):
            query = replace(month, agg=agg, resolution=resolution)
            taken, cpu = [], 0.0
            for _ in range(6):
                began, used = time.perf_counter(), time.process_time()
                search.metrics(TENANT, query)
                taken.append(time.perf_counter() - began)
                cpu = time.process_time() - used
            print(
                f"30 days by 1h, {agg}, {resolution:3}  {sorted(taken[1:])[2] * 1000:7.1f} ms  {cpu * 1000:7.1f} CPU-ms"
            )


def main() -> None:
    hosts, chance = int(sys.argv[1]) if len(sys.argv) > 1 else 4, random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        now_ns = START_NS + (DAYS + 1) * 86_400 * 10**9
        care = Care(load_settings(data_dir=folder), lambda: now_ns)
        raw = care.table(Kind.METRICS.value)
        for number in range(DAYS):
            raw.append(Kind.METRICS.value, day_of_points(number, hosts, chance), {0: (number + 1) * 86_400 // EVERY_S})
        upkeep(care)
        ask(care)
        care.close()


if __name__ == "__main__":
    main()
