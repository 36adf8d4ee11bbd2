"""One child of the supervisor: a command -> a process whose output goes to its log, started again with growing pauses.

Standard library only: the supervisor stays small because of what it does not import.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from headwater.supervision.child import environment
from headwater.supervision.logfile import LogFile

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_S = 20.0  # a child that lived this long starts with a clean slate
TAIL_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run.

    Attributes:
        name: For the console and the log file.
        command: Words; no shell.
        env: Added to the supervisor's own.
        log: File of its output; "" is the console.
        probe: Host and port where `probe_path` says that it is ready; None: when `ready_line` was seen.
        ready_line: Text in its output that says it is ready.
        stop_s: How long it may take to stop after SIGTERM.
        late: Started when all others are ready, so that it does not hold them up.
    """

    name: str
    command: list[str]
    env: dict[str, str]
    log: str
    probe: tuple[str, int] | None = None
    ready_line: str = ""
    stop_s: float = 3.0
    probe_path: str = "/health/ready"
    late: bool = False


class Child:
    """Times are the supervisor's monotonic clock, passed in."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.ready = False
        self.told_ready = False
        self.deaths = 0
        self.started_s = 0.0
        self.next_start_s = 0.0
        self.output = -1  # where its output is read, while it is open
        self._log = LogFile(Path(spec.log)) if spec.log else None
        self._tail = b""

    def start(self, now_s: float) -> int:
        """Run the command; the descriptor to watch for its output.

        Raises:
            OSError: The command is not there, or the machine has no descriptor, process or memory left for it. No
                descriptor stays open, and the same call may be tried again.
        """
        self.ready, self.told_ready, self.started_s = False, False, now_s
        self._tail = b""
        read, write = os.pipe2(os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
        try:
            os.set_blocking(read, False)
            self.process = subprocess.Popen(
                self.spec.command,
                stdin=subprocess.DEVNULL,
                stdout=write,
                stderr=write,
                env=environment(self.spec.env),
                process_group=0,  # Ctrl-C reaches the supervisor alone, which stops its children in order
            )
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        self.output = read
        return read

    def pump(self) -> bool:
        """Take what it wrote; False when it closed its output."""
        while True:
            try:
                data = os.read(self.output, 1 << 16)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._tail = (self._tail + data)[-TAIL_BYTES:]
            if self._log:
                self._log.write(data)
            else:
                with contextlib.suppress(OSError):
                    os.write(2, data)
            if self.spec.ready_line and self.spec.ready_line.encode() in self._tail:
                self.ready = True

    def close_output(self) -> None:
        os.close(self.output)
        self.output = -1

    def probe(self) -> bool:
        """Whether it is ready now; asks at most once, for at most a second."""
        if not self.ready and self.spec.probe:
            self.ready = answers_ready(*self.spec.probe, path=self.spec.probe_path)
        return self.ready

    def buried(self, now_s: float) -> float:
        """Account for a death; the pause in seconds before the next start."""
        self.deaths = 1 if now_s - self.started_s >= STEADY_S else self.deaths + 1
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (self.deaths - 1))
        self.process, self.ready, self.next_start_s = None, False, now_s + pause_s
        return pause_s

    def last_words(self) -> str:
        """The last line it wrote: of a JSON log line its message."""
        lines = [line for line in self._tail.decode(errors="replace").splitlines() if line.strip()]
        if not lines:
            return ""
        with contextlib.suppress(ValueError, AttributeError):
            entry = json.loads(lines[-1])
            return str(entry.get("event") or entry.get("message") or lines[-1])[:300]
        return lines[-1].strip()[:300]


def exit_reason(code: int) -> str:
    """A return code in words."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"signal {-code}, {signal.Signals(-code).name}"
    return f"signal {-code}"


def answers_ready(host: str, port: int, timeout_s: float = 1.0, path: str = "/health/ready") -> bool:
    """Whether GET `path` answers 200; by a bare socket, as an HTTP library would double the supervisor."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout_s) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return connection.recv(64).startswith(b"HTTP/1.1 200")
    return False
