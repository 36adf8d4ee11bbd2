"""Host: this machine's counters (psutil) -> metric points, named by the OpenTelemetry system metrics conventions.

Source: https://opentelemetry.io/docs/specs/semconv/system/system-metrics/ . A platform may lack some of them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import psutil

from agents.lines import Part, Scalar

GAUGE, SUM = "gauge", "sum"
LEAST_S = 0.05  # least CPU time, on average of all CPUs, from which a utilisation is computed


@dataclass(frozen=True, slots=True)
class Point:
    """One value. A value of `kind` "sum" counts from the machine's start."""

    name: str
    value: float
    unit: str
    kind: str = GAUGE
    attributes: tuple[tuple[str, str | int], ...] = ()


class HostMetrics:
    """Measures utilisation since the last `collect` with a utilisation; at first, over a tenth of a second.

    A CPU whose counters did not change has no utilisation.
    """

    def __init__(
        self, service: str, env: str, host: str, batch_records: int, attributes: Mapping[str, Scalar] | None = None
    ) -> None:
        self._resource = {"service": service, "env": env, "host": host}
        self._attributes = dict(attributes or {})
        self._batch_records = batch_records
        self._cpu: Sequence[object] = psutil.cpu_times(percpu=True)
        time.sleep(0.1)

    def collect(self, now_ns: int) -> list[Part]:
        """All points at `now_ns` as NDJSON parts."""
        lines = [self._line(point, now_ns) for point in self.points()]
        chunks = [lines[begin : begin + self._batch_records] for begin in range(0, len(lines), self._batch_records)]
        return [Part(len(chunk), b"\n".join(chunk) + b"\n") for chunk in chunks]

    def points(self) -> Iterator[Point]:
        for source in (self._cpus, _memory, _swap, _load, _processes, _filesystems, _disks, _network):
            with contextlib.suppress(OSError, AttributeError, NotImplementedError, RuntimeError, psutil.Error):
                yield from source()

    def _line(self, point: Point, now_ns: int) -> bytes:
        record = {
            "name": point.name,
            "value": point.value,
            "unit": point.unit,
            "kind": point.kind,
            "timestamp": now_ns,
            **{name: text for name, text in self._resource.items() if text},
        }
        attributes = {**self._attributes, **dict(point.attributes)}
        return msgspec.json.encode(record | ({"attributes": attributes} if attributes else {}))

    def _cpus(self) -> Iterator[Point]:
        now = psutil.cpu_times(percpu=True)
        shares = self._shares(now)
        for number, times in enumerate(now):
            for mode, value in _modes(times).items():
                yield Point("system.cpu.time", value, "s", SUM, (("cpu.mode", mode), ("cpu.logical_number", number)))
        for number, share in shares.items():
            for mode, value in share.items():
                attributes = (("cpu.mode", mode), ("cpu.logical_number", number))
                yield Point("system.cpu.utilization", value, "1", GAUGE, attributes)
        for mode in _modes(now[0]) if shares else ():
            mean = sum(share[mode] for share in shares.values()) / len(shares)
            yield Point("system.cpu.utilization", mean, "1", GAUGE, (("cpu.mode", mode),))
        yield Point("system.cpu.logical.count", len(now), "{cpu}")

    def _shares(self, now: Sequence[object]) -> dict[int, dict[str, float]]:
        """Utilisation by CPU and mode; {} until the counters, which advance by 10 ms, have advanced enough."""
        spent = [_spent(old, new) for old, new in zip(self._cpu, now, strict=False)]
        wholes = [sum(each.values()) for each in spent]
        if sum(wholes) < LEAST_S * len(wholes):
            return {}
        self._cpu = now
        return {
            number: {mode: value / whole for mode, value in each.items()}
            for number, (each, whole) in enumerate(zip(spent, wholes, strict=True))
            if whole
        }


def _spent(old: object, new: object) -> dict[str, float]:
    return {mode: max(0.0, value - getattr(old, mode)) for mode, value in _modes(new).items()}


def _modes(times: object) -> dict[str, float]:
    """CPU seconds by mode, without guest time, which is part of user time."""
    fields = getattr(times, "_fields", ())
    return {mode: float(getattr(times, mode)) for mode in fields if not mode.startswith("guest")}


def _memory() -> Iterator[Point]:
    memory = psutil.virtual_memory()
    yield Point("system.memory.limit", memory.total, "By")
    states = {"used": memory.used, "free": memory.free}
    states |= {state: getattr(memory, state) for state in ("cached", "buffers") if hasattr(memory, state)}
    for state, size in states.items():
        attributes = (("system.memory.state", state),)
        yield Point("system.memory.usage", size, "By", GAUGE, attributes)
        yield Point("system.memory.utilization", size / memory.total, "1", GAUGE, attributes)
    yield Point("system.linux.memory.available", memory.available, "By")


def _swap() -> Iterator[Point]:
    swap = psutil.swap_memory()
    for state, size in (("used", swap.used), ("free", swap.free)):
        attributes = (("system.paging.state", state),)
        yield Point("system.paging.usage", size, "By", GAUGE, attributes)
        yield Point("system.paging.utilization", size / swap.total if swap.total else 0.0, "1", GAUGE, attributes)
    for direction, size in (("in", swap.sin), ("out", swap.sout)):
        yield Point("system.paging.io", size, "By", SUM, (("system.paging.direction", direction),))


def _load() -> Iterator[Point]:
    for minutes, value in zip((1, 5, 15), os.getloadavg(), strict=True):
        yield Point(f"system.cpu.load_average.{minutes}m", value, "{run_queue_item}")


def _processes() -> Iterator[Point]:
    yield Point("system.process.count", len(psutil.pids()), "{process}")
    yield Point("system.uptime", max(0.0, time.time() - psutil.boot_time()), "s")


_ROOT = ("rootfs", "/", "")  # used if the system lists no file system, as in a container


def _filesystems() -> Iterator[Point]:
    places = [(each.device, each.mountpoint, each.fstype) for each in psutil.disk_partitions()]
    for device, mountpoint, kind in places or [_ROOT]:
        with contextlib.suppress(OSError):
            usage = psutil.disk_usage(mountpoint)
            place = (
                ("system.device", device),
                ("system.filesystem.mountpoint", mountpoint),
                ("system.filesystem.type", kind),
            )
            yield Point("system.filesystem.limit", usage.total, "By", GAUGE, place)
            reserved = max(0, usage.total - usage.used - usage.free)
            for state, size in (("used", usage.used), ("free", usage.free), ("reserved", reserved)):
                attributes = (*place, ("system.filesystem.state", state))
                yield Point("system.filesystem.usage", size, "By", GAUGE, attributes)
                share = size / usage.total if usage.total else 0.0
                yield Point("system.filesystem.utilization", share, "1", GAUGE, attributes)


def _disks() -> Iterator[Point]:
    for device, io in psutil.disk_io_counters(perdisk=True).items():
        for direction, size, operations, busy_ms in (
            ("read", io.read_bytes, io.read_count, io.read_time),
            ("write", io.write_bytes, io.write_count, io.write_time),
        ):
            attributes = (("system.device", device), ("disk.io.direction", direction))
            yield Point("system.disk.io", size, "By", SUM, attributes)
            yield Point("system.disk.operations", operations, "{operation}", SUM, attributes)
            yield Point("system.disk.operation_time", busy_ms / 1000, "s", SUM, attributes)


def _network() -> Iterator[Point]:
    for interface, io in psutil.net_io_counters(pernic=True).items():
        for direction, size, packets, errors, dropped in (
            ("receive", io.bytes_recv, io.packets_recv, io.errin, io.dropin),
            ("transmit", io.bytes_sent, io.packets_sent, io.errout, io.dropout),
        ):
            attributes = (("network.interface.name", interface), ("network.io.direction", direction))
            yield Point("system.network.io", size, "By", SUM, attributes)
            yield Point("system.network.packet.count", packets, "{packet}", SUM, attributes)
            yield Point("system.network.errors", errors, "{error}", SUM, attributes)
            yield Point("system.network.packet.dropped", dropped, "{packet}", SUM, attributes)
