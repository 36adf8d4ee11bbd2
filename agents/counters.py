"""Counters: work of the agent -> `status.json` in its folder, read by `agent status`."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

import msgspec

from contracts.files import replace_file


class Status(msgspec.Struct, omit_defaults=False):
    """Status of one agent. Totals continue over restarts; a kill may lose their last second.

    Attributes:
        state: "running", "stopped", or "killed" if the process ended without a clean stop.
        read_lines, read_bytes: Records made and raw bytes read.
        nul_bytes: Bytes of `read_bytes` that were skipped as NULs of a hole.
        sent_records, sent_bytes, requests: Acknowledged records, their bytes on the wire, and all requests.
        retried: Retries of requests.
        rejected: Records that the service refused. set_aside: records in the set-aside file (rejected ones included).
        duplicates: Batches that the service had already.
        buffered_records, buffer_bytes: Records that wait for delivery; bytes of all segments.
        behind_bytes: Bytes in the tailed files that are not read yet.
        journal_gaps: How often entries of the journal were deleted before they were read, in this run.
        lag_s: Age of the oldest record that is not acknowledged, or 0.
        last_error, last_error_ns: The last error and its time; "" and 0 if there was none.
    """

    name: str = ""
    state: str = "stopped"
    pid: int = 0
    producer: str = ""
    epoch: int = 0
    next_sequence: int = 0
    acked_sequence: int = 0
    files: int = 0
    read_lines: int = 0
    read_bytes: int = 0
    nul_bytes: int = 0
    sent_records: int = 0
    sent_bytes: int = 0
    requests: int = 0
    retried: int = 0
    rejected: int = 0
    set_aside: int = 0
    duplicates: int = 0
    buffered_records: int = 0
    buffer_bytes: int = 0
    behind_bytes: int = 0
    journal_gaps: int = 0
    lag_s: float = 0.0
    last_error: str = ""
    last_error_ns: int = 0
    updated_ns: int = 0


class Counters:
    """Thread-safe. Any thread may call `add` and `failed`; the main loop calls `save`."""

    def __init__(self, folder: Path, name: str, pid: int) -> None:
        self._path = folder / "status.json"
        self._lock = threading.Lock()
        self._status = read_status(folder) or Status()
        self._status.name, self._status.pid, self._status.state = name, pid, "running"

    def add(self, **amounts: int) -> None:
        with self._lock:
            for name, amount in amounts.items():
                setattr(self._status, name, getattr(self._status, name) + amount)

    def failed(self, what: str) -> None:
        with self._lock:
            self._status.last_error, self._status.last_error_ns = what, time.time_ns()

    def save(self, **values: object) -> None:
        with self._lock, contextlib.suppress(OSError):
            for name, value in values.items():
                setattr(self._status, name, value)
            self._status.updated_ns = time.time_ns()
            replace_file(self._path, msgspec.json.encode(self._status), sync=False)


def read_status(home: Path) -> Status | None:
    """Status of the agent whose folder is `home` (`settings.agent_home / name`); None if no agent ran there."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        status = msgspec.json.decode((home / "status.json").read_bytes(), type=Status)
        if status.state == "running" and not _alive(status.pid):
            status.state = "killed"
        return status
    return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
