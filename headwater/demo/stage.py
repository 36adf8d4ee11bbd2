"""The processes of the demo: a temporary folder -> `headwater up` and real agents, started and stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agents import read_status
from contracts.errors import HeadwaterError, StoreError
from contracts.settings import Settings, load_settings
from contracts.tenants import Role
from headwater.keyring import local_key
from headwater.rest import Rest
from headwater.running import running
from headwater.supervision.child import environment
from headwater.supervision.supervised import answers_ready, exit_reason

READY_S = 60.0
STOP_S = 15.0
# A short commit interval, so that the demo need not wait for the lake. All other settings are as in a real start.
QUICK = {"HEADWATER_LAKE_COMMIT_S": "2"}


class Stage:
    """The processes, with all files in one folder. Ignores settings of the caller's environment and `.env`."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.settings: Settings = load_settings(_env_file=None, data_dir=folder / "data", port=port)
        self.url = ""
        self.batch_url = ""
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start_up(self, waiting: Callable[[], None], batch: bool = False) -> None:
        """Start `headwater up` and wait until it is ready; `waiting` is called meanwhile.

        Args:
            batch: True: with the batch tiers, which are ready some seconds later.

        Raises:
            StoreError: `headwater up` did not become ready; the hint has the end of its output.
        """
        words = ["up", "--data-dir", str(self.settings.data), "--port", str(self.settings.port)]
        self._start("up", words if batch else [*words, "--no-batch"], {"HEADWATER_DAGSTER_PORT": "0"})
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self._processes["up"].poll() is None:
            here = running(self.settings.data)
            if (
                here
                and answers_ready("127.0.0.1", int(here.url.rpartition(":")[2]))
                and "everything is ready" in self.log("up")
            ):
                self.url, self.batch_url = here.url, here.batch_url
                return
            waiting()
            time.sleep(0.1)
        raise StoreError("`headwater up` did not become ready", hint=self.log("up")[-2000:].strip())

    def start_agents(self, files: Mapping[str, Path]) -> None:
        """Start an agent for every service, and one that measures this machine; return when all of them work.

        Raises:
            StoreError: An agent ended or did not start.
        """
        env = {
            "HEADWATER_INGEST_URL": self.url,
            "HEADWATER_API_KEY": local_key(self.settings, Role.INGEST),
            "HEADWATER_AGENT_DIR": str(self.folder / "agents"),
            "HEADWATER_AGENT_BATCH_WAIT_S": "0.2",
            "HEADWATER_AGENT_PARTIAL_LINE_S": "1",
        }
        for service, path in files.items():
            # With the star, a tail that was delayed for seconds still finds files that were renamed twice.
            words = ["agent", "logs", "--path", f"{path}*", "--service", service, "--env", "demo", "--name", service]
            self._start(f"agent-{service}", words, env)
        self._start("agent-host", ["agent", "host", "--interval", "1", "--env", "demo"], env)
        deadline = time.monotonic() + READY_S
        while not (all(self._tails(service) for service in files) and self._runs("host")):
            if time.monotonic() > deadline:
                raise StoreError("the agents did not start", hint="run `headwater doctor`; check the machine's load")
            self.check()
            time.sleep(0.1)

    def _runs(self, name: str) -> bool:
        """True if the agent runs. Before that, a SIGTERM would kill it while it loads its modules."""
        status = read_status(self.folder / "agents" / name)
        return status is not None and status.state == "running"

    def _tails(self, service: str) -> bool:
        status = read_status(self.folder / "agents" / service)
        return status is not None and status.files > 0

    def check(self) -> None:
        """Raise StoreError with the end of the output if a process has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise StoreError(f"{name} ended by itself ({process.returncode})", hint=self.log(name)[-1500:].strip())

    def rest(self, role: Role = Role.READ) -> Rest:
        return Rest(self.url, local_key(self.settings, role))

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self) -> list[str]:
        """Stop the agents, then the platform; return a line for each process that did not end well. Idempotent."""
        names = sorted(self._processes, key=lambda name: name == "up")
        for name in names[:-1]:
            self._ask_to_end(name)
        ends = [self._end(name) for name in names[:-1]]
        for name in names[-1:]:
            self._ask_to_end(name)
            ends.append(self._end(name))
        self._processes.clear()
        return [end for end in ends if end]

    def _ask_to_end(self, name: str) -> None:
        """Send SIGTERM once: at a second one the process may have restored the default handler."""
        if self._processes[name].poll() is None:
            self._processes[name].send_signal(signal.SIGTERM)

    def _end(self, name: str) -> str:
        process = self._processes[name]
        try:
            code = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return f"{name} had to be killed after {STOP_S:.0f} s: {self.log(name)[-500:]}"
        return f"{name} ended with {exit_reason(code)}: {self.log(name)[-500:]}" if code else ""

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
    """The account of one kind; all zero if the kind has no account, or the service does not answer."""
    try:
        accounts = rest.get("/conservation")["accounts"]
    except HeadwaterError:
        accounts = []
    counts = ("received", "visible", "duplicates", "dead_lettered", "in_flight", "difference")
    empty = {**dict.fromkeys(counts, 0), "lag": {}}
    return next(({**empty, **entry} for entry in accounts if entry["kind"] == kind), empty)
