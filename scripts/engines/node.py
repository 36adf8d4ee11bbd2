"""One process of an engine: command → started, watched, paused, killed and started again; its output is a log file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TETHER = Path(__file__).with_name("tether.py")
TAIL_BYTES = 2048
STOP_WITHIN_S = 15.0
POLL_S = 0.05

# The kernel's "parent died" means the thread that started the child. All nodes are therefore started by one thread
# that lives as long as this process, so that a test may start a node from a thread that ends.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine-starter")


class EngineError(RuntimeError):
    """An engine cannot be installed, did not start or did not get ready; the message says why, with its last output."""


class Node:
    """A process on ports and a folder of its own, which it keeps through `kill`, `stop` and `start`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        is_ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        ready_within_s: float = 60.0,
    ) -> None:
        """Start nothing yet. `is_ready` is asked again and again and must answer within a second or two.

        The process gets `environment` and, of ours, only what a program needs to run, so that no setting of the
        developer's shell changes what a test sees.
        """
        self.name = name
        self.log = log
        self._command = list(command)
        self._is_ready = is_ready
        self._environment = {
            key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR", "JAVA_HOME") if key in os.environ
        }
        self._environment |= environment or {}
        self._ready_within_s = ready_within_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that runs, or the last one that did."""
        if self._process is None:
            raise EngineError(f"{self.name} was never started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Also when paused."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start on the same ports and data; return when it is ready.

        Raises:
            EngineError: It ended early or was not ready in time. It is not running then.
        """
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start and return at once."""
        if self.is_running:
            raise EngineError(f"{self.name} is running already, as {self.pid}")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._process = _starter.submit(self._popen).result()

    def _popen(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *self._command],
                cwd=self.log.parent,  # where a virtual machine that crashes leaves its report
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for who started it, who then stops it in order
            )

    def wait_until_ready(self) -> None:
        """Wait for the answer of `is_ready`; on any failure the process is killed."""
        deadline = time.monotonic() + self._ready_within_s
        try:
            while not self._is_ready():
                if not self.is_running:
                    raise EngineError(self._failed("ended before it was ready"))
                if time.monotonic() > deadline:
                    raise EngineError(self._failed(f"was not ready within {self._ready_within_s:g} s"))
                time.sleep(POLL_S)
            if not self.is_running:  # somebody else answered on its port
                raise EngineError(self._failed("ended while another process answers on its port"))
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """SIGKILL; return when the process is gone. Nothing happens when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nobody answers. Returns when all its threads have stopped."""
        if not self.is_running:
            raise EngineError(f"{self.name} is not running; start it before it is paused")
        self._signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when it has not ended after 15 s. Nothing happens when it is not running."""
        stop_all([self])

    def log_tail(self, size: int = TAIL_BYTES) -> str:
        """The last `size` bytes of all output so far, of every start."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - size))
            return log.read().decode(errors="replace")

    def ask_to_end(self) -> None:
        """SIGTERM, which a paused process sees too; return at once."""
        if self.is_running:
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)

    def wait_for_end(self, timeout_s: float) -> bool:
        """Whether the process ended within `timeout_s`."""
        try:
            if self._process is not None:
                self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise EngineError(f"{self.name} was never started")
        self._process.send_signal(number)

    def _failed(self, what: str) -> str:
        code = self._process.poll() if self._process else None
        ended = "" if code is None else f" with exit code {code}"
        return f"{self.name} {what}{ended}; the end of {self.log}:\n{self.log_tail()}"


def start_all(nodes: Iterable[Node]) -> None:
    """Start those that are not running at once, for nodes that are ready only together; return when all are ready.

    Raises:
        EngineError: One did not get ready. It is not running then; the others may be.
    """
    wanted = list(nodes)
    for node in wanted:
        if not node.is_running:
            node.launch()
    for node in wanted:
        node.wait_until_ready()


def stop_all(nodes: Iterable[Node], *, within_s: float = STOP_WITHIN_S) -> None:
    """Ask all to end at once, then kill what has not ended after `within_s`."""
    asked = list(nodes)
    try:
        for node in asked:
            node.ask_to_end()
        deadline = time.monotonic() + within_s
        for node in asked:
            node.wait_for_end(max(0.0, deadline - time.monotonic()))
    finally:
        for node in asked:
            node.kill()
