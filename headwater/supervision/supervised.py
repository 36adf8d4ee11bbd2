"""One child of the supervisor: a command -> a process with a log file, restarted with growing pauses.

Standard library only: so the supervisor stays small.
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
STEADY_S = 20.0  # after so long a life, the pauses begin with the shortest again
TAIL_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Spec:
    """Command of a child.

    Attributes:
        name: Name on the console.
        command: Words; no shell.
        env: Variables added to the supervisor's environment.
        log: File for the output; "" is the console.
        probe: Host and port; the child is ready when `probe_path` answers 200. None: when `ready_line` was printed.
        ready_line: Text in the output that shows readiness.
        stop_s: Time that the child has to stop after SIGTERM.
        late: True: the child starts when all others are ready, so that it does not slow them down.
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
    """Times are passed in and come from the supervisor's monotonic clock."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.ready = False
        self.told_ready = False
        self.deaths = 0
        self.started_s = 0.0
        self.next_start_s = 0.0
        self.output = -1  # descriptor of the child's output; -1: closed
        self._log = LogFile(Path(spec.log)) if spec.log else None
        self._tail = b""

    def start(self, now_s: float) -> int:
        """Start the process and return the descriptor of its output.

        Raises:
            OSError: The command does not exist, or the machine has no descriptor, process or memory left. No descriptor
                stays open, and the same call may be repeated.
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
        """Read the output of the child; False: the child has closed its output."""
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
        """True if the child is ready; asks at most once, for at most a second."""
        if not self.ready and self.spec.probe:
            self.ready = answers_ready(*self.spec.probe, path=self.spec.probe_path)
        return self.ready

    def buried(self, now_s: float) -> float:
        """Note a death; return the pause in seconds before the next start."""
        self.deaths = 1 if now_s - self.started_s >= STEADY_S else self.deaths + 1
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (self.deaths - 1))
        self.process, self.ready, self.next_start_s = None, False, now_s + pause_s
        return pause_s

    def last_words(self) -> str:
        """The last line of the output; for a JSON log line, its message."""
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
    """True if GET `path` answers 200. Uses a bare socket, as an HTTP library would double the supervisor's size."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout_s) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return connection.recv(64).startswith(b"HTTP/1.1 200")
    return False
