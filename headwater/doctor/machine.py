"""Checks of the machine: Python, disk, sync, clock, limits, port -> verdicts."""

from __future__ import annotations

import difflib
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from contracts.errors import ConfigError
from headwater.console import size
from headwater.doctor.verdict import Verdict, fail, ok, warn
from headwater.running import running
from headwater.supervision.ports import take_port
from headwater.supervision.supervised import answers_ready

MIN_FREE_BYTES = 512 << 20
GOOD_FREE_BYTES = 5 << 30
SLOW_SYNC_MS = 50.0
FAST_SYNC_MS = 0.02  # faster than any disk or flash drive: nothing was synced
MIN_FILES = 256
GOOD_FILES = 1024
GOOD_MEMORY_BYTES = 1 << 30
RELEASE_YEAR = 2025
CLOCK_SLACK_S = 2.0


def python(version: Sequence[str]) -> Verdict:
    """Every dependency has wheels for 3.11 and 3.12."""
    text = ".".join(version)
    if (int(version[0]), int(version[1])) in ((3, 11), (3, 12)):
        return ok(text)
    return fail(f"{text} is not supported", "use Python 3.11 or 3.12: make setup PYTHON=/path/to/python3.12")


def existing(path: Path) -> Path:
    """`path`, or the nearest existing folder above it."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def writable(data: Path) -> Verdict:
    place = existing(data)
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-") as probe:
            probe.write(b"x")
    except OSError as error:
        return fail(f"{data} cannot be written: {error.strerror}", "choose another with --data-dir, or fix its owner")
    return ok(f"{data}" if data.exists() else f"{data} (will be created)")


def free_disk(data: Path) -> Verdict:
    free = shutil.disk_usage(existing(data)).free
    if free < MIN_FREE_BYTES:
        return fail(f"{size(free)} free", "free some space: with a full disk the service refuses records (503)")
    if free < GOOD_FREE_BYTES:
        return warn(
            f"{size(free)} free", "a million log records take about 150 MiB; check the bus limit, HEADWATER_BUS_MAX_MIB"
        )
    return ok(f"{size(free)} free")


def fsync(data: Path, rounds: int = 16) -> Verdict:
    """Median time of a durable 4 KiB append; every accepted request waits for such an append."""
    try:
        times_ms = sorted(_sync_times_ms(existing(data), rounds))
    except OSError as error:
        return fail(f"a file cannot be synced: {error.strerror}", "put the data folder on a local file system")
    median_ms = times_ms[len(times_ms) // 2]
    text = f"{median_ms:.2f} ms (slowest of {rounds}: {times_ms[-1]:.1f} ms)"
    if median_ms > SLOW_SYNC_MS:
        return warn(text, "the disk syncs slowly and every small request waits for it; send larger batches")
    if median_ms < FAST_SYNC_MS:
        return warn(text, "too fast for a disk (memory file system?): records may not survive power loss")
    return ok(text)


def _sync_times_ms(folder: Path, rounds: int) -> list[float]:
    times = []
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-", buffering=0) as probe:
        for _ in range(rounds):
            began = time.perf_counter()
            probe.write(b"x" * 4096)
            os.fsync(probe.fileno())
            times.append((time.perf_counter() - began) * 1000)
    return times


def clock(data: Path) -> Verdict:
    """Compare the clock with the year, the file system's clock, and the newest file of the data folder."""
    now = time.time()
    if time.gmtime(now).tm_year < RELEASE_YEAR:
        return fail(f"the clock says {_stamp(now)}", "set the clock (NTP): arrival days and retention depend on it")
    try:
        with tempfile.NamedTemporaryFile(dir=existing(data), prefix=".doctor-") as probe:
            drift_s = Path(probe.name).stat().st_mtime - now
    except OSError:
        drift_s = 0.0
    if abs(drift_s) > CLOCK_SLACK_S:
        return warn(f"{drift_s:+.1f} s between file system and clock", "synchronise both clocks (NTP)")
    newest = max((path.stat().st_mtime for path in data.glob("*") if path.exists()), default=now)
    if newest > now + CLOCK_SLACK_S:
        return warn(f"files are {newest - now:.0f} s in the future", "the clock went back: check NTP before a start")
    return ok(f"{_stamp(now)} UTC")


def _stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def open_files() -> Verdict:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"limit {soft}"
    advice = f"raise it: ulimit -n {min(8192, hard) if hard > 0 else 8192}"
    if 0 <= soft < MIN_FILES:
        return fail(text, advice)
    return warn(text, advice) if 0 <= soft < GOOD_FILES else ok(text)


def memory() -> Verdict:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if total < GOOD_MEMORY_BYTES:
        return warn(size(total), "use 1 GiB, or lower HEADWATER_HOT_HEAP_MIB and HEADWATER_QUERY_MEMORY_MIB")
    return ok(size(total))


def environment(names: Collection[str], known: Collection[str]) -> Verdict:
    """Warn about unknown settings, as the settings ignore a misspelt name."""
    ours = {f"HEADWATER_{name.upper()}" for name in known}
    given = sorted(name for name in names if name.startswith("HEADWATER_") and not name.endswith("_KEY"))
    odd = [name for name in given if name not in ours]
    if odd:
        near = difflib.get_close_matches(odd[0], ours, 1)
        meant = f"{odd[0]}: do you mean {near[0]}?" if near else "see docs/settings.md for all settings"
        return warn(f"no such setting: {', '.join(odd)}", meant)
    return ok(f"{', '.join(given)} from the environment" if given else "all from defaults and .env")


def service(data: Path) -> Verdict:
    """Fail if an `up` runs on this folder and is not ready."""
    here = running(data)
    if here is None:
        return ok("not running; start it with: headwater up")
    place = urlsplit(here.url)
    if answers_ready(place.hostname or "", place.port or 0, timeout_s=6.0):
        return ok(f"ready at {here.url}")
    return fail(
        f"runs at {here.url} (pid {here.pid}), but is not ready",
        f"for the reasons see: curl {here.url}/health/ready, or the logs in {data / 'logs'}",
    )


def port(data: Path, host: str, number: int) -> Verdict:
    """Fail if the port is neither free nor used by the `up` of this folder."""
    if here := running(data):
        return ok(f"{here.url.rpartition(':')[2]}, used by `headwater up` (pid {here.pid})")
    try:
        take_port(host, number, patience_s=0)
    except ConfigError as error:
        return fail(str(error), error.hint)
    return ok(f"{number} on {host} is free" if number else "a start picks a free port")
