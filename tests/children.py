"""Processes of tests: a module and its words -> how it ended.

    done = children.run("headwater", "status", folder=tmp_path)
    assert children.run("tests.lakehouse.upkeep.compaction_child", ..., env={VARIABLE: point}).returncode == -9

They fork from a server (`tests.fork_server`) that has loaded what they import: importing deltalake, pyarrow and the
rooms takes a second each time, a fork takes milliseconds. A process of its own is what is tested all the same: it has
its own memory, threads and locks, its own environment and streams, and dies by its own signals.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from tests.fork_server import Job

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 60.0

_starting = threading.Lock()
_servers: list[socket.socket] = []


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without settings, and `extra`."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith("HEADWATER_")}
    return {**ours, "PYTHONPATH": str(ROOT), **(extra or {})}


class Child:
    """A running process; a `subprocess.Popen` as far as tests need one. Killed at the end of a `with`."""

    def __init__(
        self,
        module: str,
        *words: object,
        folder: Path = ROOT,
        env: Mapping[str, str] | None = None,
        loads: Sequence[str] = (),
        output: IO[bytes] | None = None,
        errors: IO[bytes] | None = None,
    ) -> None:
        """`env` is added to a clean environment; `output` None is this process's own, `errors` None is `output`."""
        job = Job(module, [str(word) for word in words], str(folder), clean_environment(env), list(loads))
        out = output.fileno() if output else 1
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, Path(os.devnull).open("rb") as nothing:
            streams = [theirs.fileno(), nothing.fileno(), out, errors.fileno() if errors else out]
            socket.send_fds(_server(), [msgspec.json.encode(job)], streams)
        self.args = [module, *job.words]
        self.returncode: int | None = None
        self._told = mine
        self.pid = self._number(TIMEOUT_S)

    def _number(self, timeout_s: float | None) -> int:
        """The next packet of its watcher: first the pid, then the exit code."""
        if not select.select([self._told], [], [], timeout_s)[0]:
            raise subprocess.TimeoutExpired(self.args, timeout_s or 0)
        if packet := self._told.recv(64):
            return int(packet)
        raise AssertionError(f"no process could be forked for {self.args}: see what the fork server wrote")

    def poll(self) -> int | None:
        try:
            return self.wait(0.0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout_s: float | None = None) -> int:
        """Its exit code; a negative one is the signal that ended it.

        Raises:
            subprocess.TimeoutExpired: It runs on.
        """
        if self.returncode is None:
            self.returncode = self._number(timeout_s)
            self._told.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
        self.wait()


def run(
    module: str,
    *words: object,
    folder: Path = ROOT,
    env: Mapping[str, str] | None = None,
    loads: Sequence[str] = (),
    timeout_s: float = TIMEOUT_S,
) -> subprocess.CompletedProcess[str]:
    """Run to its end, with what it wrote."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        with Child(module, *words, folder=folder, env=env, loads=loads, output=output, errors=errors) as child:
            code = child.wait(timeout_s)
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return subprocess.CompletedProcess(child.args, code, *texts)


def _server() -> socket.socket:
    """The socket of this process's server, which starts with the first child."""
    with _starting:
        if not _servers:
            mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                server = subprocess.Popen(
                    [sys.executable, "-m", "tests.fork_server", str(theirs.fileno())],
                    cwd=ROOT,
                    env=clean_environment(),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,  # modules that look at it as they load see no terminal
                )
            _servers.append(mine)
            atexit.register(_stop, mine, server)
        return _servers[0]


def _stop(asked: socket.socket, server: subprocess.Popen[bytes]) -> None:
    asked.close()
    server.wait()
