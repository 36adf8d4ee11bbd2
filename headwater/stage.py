"""The processes of the demo: `headwater up` on a temporary data folder, and real agents, started and stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from contracts.errors import HeadwaterError, StoreError
from contracts.settings import Settings, load_settings
from contracts.tenants import Role
from headwater.child import environment
from headwater.keyring import local_key
from headwater.rest import Rest
from headwater.running import running
from headwater.supervised import answers_ready

READY_S = 60.0
STOP_S = 15.0
# Quicker than the defaults, so that nobody waits for the lake; everything else is as in a real start.
QUICK = {"HEADWATER_LAKE_COMMIT_S": "2"}


class Stage:
    """Everything in one folder; no setting of the caller's environment or `.env` reaches it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.settings: Settings = load_settings(_env_file=None, data_dir=folder / "data", port=port)
        self.url = ""
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start_up(self, waiting: Callable[[], None]) -> None:
        """Start `headwater up` and wait until it is ready; `waiting` is called meanwhile.

        Raises:
            StoreError: It did not become ready; its last words are in the hint.
        """
        words = ["up", "--no-batch", "--data-dir", str(self.settings.data), "--port", str(self.settings.port)]
        self._start("up", words, {})
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self._processes["up"].poll() is None:
            here = running(self.settings.data)
            if (
                here
                and answers_ready("127.0.0.1", int(here.url.rpartition(":")[2]))
                and "everything is ready" in self.log("up")
            ):
                self.url = here.url
                return
            waiting()
            time.sleep(0.1)
        raise StoreError("`headwater up` did not become ready", hint=self.log("up")[-2000:].strip())

    def start_agents(self, files: Mapping[str, Path]) -> None:
        """One agent per service, as on as many machines, and one that measures this machine."""
        env = {
            "HEADWATER_INGEST_URL": self.url,
            "HEADWATER_API_KEY": local_key(self.settings, Role.INGEST),
            "HEADWATER_AGENT_DIR": str(self.folder / "agents"),
            "HEADWATER_AGENT_BATCH_WAIT_S": "0.2",
            "HEADWATER_AGENT_PARTIAL_LINE_S": "1",
        }
        for service, path in files.items():
            words = ["agent", "logs", "--path", str(path), "--service", service, "--env", "demo", "--name", service]
            self._start(f"agent-{service}", words, env)
        self._start("agent-host", ["agent", "host", "--interval", "1", "--env", "demo"], env)

    def check(self) -> None:
        """Raises StoreError when a process has ended, with its last words."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise StoreError(f"{name} ended by itself ({process.returncode})", hint=self.log(name)[-1500:].strip())

    def rest(self, role: Role = Role.READ) -> Rest:
        return Rest(self.url, local_key(self.settings, role))

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self) -> bool:
        """Agents first, then the platform; whether all ended by themselves and well. Idempotent."""
        names = sorted(self._processes, key=lambda name: name == "up")
        for name in names[:-1]:
            self._processes[name].terminate()
        good = [self._end(name) for name in names]
        self._processes.clear()
        return all(good)

    def _end(self, name: str) -> bool:
        process = self._processes[name]
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_S) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False

    def _start(self, name: str, words: list[str], env: Mapping[str, str]) -> None:
        base = {
            key: value
            for key, value in environment().items()
            if not key.startswith("HEADWATER_") or key.endswith("_OF")
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "headwater", *words],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**base, **QUICK, **env},
                start_new_session=True,
            )


def account_of(rest: Rest, kind: str) -> dict[str, Any]:
    """The account of one kind; all zero while there is none, or while the service is not answering."""
    try:
        accounts = rest.get("/conservation")["accounts"]
    except HeadwaterError:
        accounts = []
    counts = ("received", "visible", "duplicates", "dead_lettered", "in_flight", "difference")
    empty = {**dict.fromkeys(counts, 0), "lag": {}}
    return next(({**empty, **entry} for entry in accounts if entry["kind"] == kind), empty)
