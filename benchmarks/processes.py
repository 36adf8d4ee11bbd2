"""Processes under measurement: a started command and everything below it -> CPU-seconds and peak memory."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil


class Meter:
    """CPU and memory of process trees, sampled in the background so that children that ended still count.

    Attributes:
        peak_mib: Most anonymous memory of all processes together.
        peak_mapped_mib: The same with mapped files (index files, libraries), shared pages counted once: what the kernel
            takes back when it needs it.
    """

    def __init__(self, period_s: float = 0.5) -> None:
        self._roots: list[int] = []
        self._cpu: dict[int, float] = {}
        self._names: dict[int, str] = {}
        self.peak_mib = 0.0
        self.peak_mapped_mib = 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._period_s = period_s
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def watch(self, pid: int, name: str) -> None:
        with self._lock:
            self._roots.append(pid)
            self._names[pid] = name

    def cpu_s(self) -> float:
        """CPU-seconds (user and system, all threads) of everything watched so far."""
        self._sample()
        with self._lock:
            return sum(self._cpu.values())

    def by_name(self) -> dict[str, float]:
        self._sample()
        with self._lock:
            totals: dict[str, float] = {}
            for pid, seconds in self._cpu.items():
                totals[self._names.get(pid, "?")] = totals.get(self._names.get(pid, "?"), 0.0) + seconds
            return totals

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            self._sample()

    def _sample(self) -> None:
        anonymous_kib, mapped_kib = 0, 0
        with self._lock:
            for root in self._roots:
                for process in _tree(root):
                    with contextlib.suppress(psutil.Error):
                        times = process.cpu_times()
                        self._cpu[process.pid] = times.user + times.system
                        self._names.setdefault(process.pid, _role(process, self._names[root]))
                    found = _memory_kib(process.pid)
                    anonymous_kib += found.get("Anonymous", 0)
                    mapped_kib += found.get("Pss", 0)
        self.peak_mib = max(self.peak_mib, anonymous_kib / 1024)
        self.peak_mapped_mib = max(self.peak_mapped_mib, mapped_kib / 1024)


def _memory_kib(pid: int) -> dict[str, int]:
    """Source: `smaps_rollup` of proc(5)."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        return {name: int(rest.split()[0]) for name, rest in (line.split(":", 1) for line in lines)}
    return {}


def _tree(root: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(root)
        return [process, *process.children(recursive=True)]
    return []


def _role(process: psutil.Process, fallback: str) -> str:
    words = process.cmdline()
    modules = [
        word for word in words if word.startswith(("flows", "headwater.", "agents", "ingestion_api", "query_api"))
    ]
    return modules[0] if modules else fallback


@contextlib.contextmanager
def started(
    command: list[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` with its output in `log`; end it by SIGTERM, after 15 s by SIGKILL."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def folder_bytes(path: Path) -> int:
    """Bytes of the files at or below `path`."""
    files = [path] if path.is_file() else path.rglob("*")
    total = 0
    for file in files:
        with contextlib.suppress(OSError):
            total += file.stat().st_size if file.is_file() else 0
    return total
