"""A platform of real processes for tests: API, flow and agent, each started, killed and started again by name."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from contracts.settings import Settings, load_settings
from contracts.tenants import Role, tenant_named
from tests.children import Child
from tests.ports import free_port
from tests.waiting import until
from web.keys import create_key

ROOT = Path(__file__).resolve().parents[2]
LOADS = ("agents.__main__", "flows.embedded", "ingestion_api.app", "query_api.app", "web.server")


class Stack:
    """Processes over one data folder. `sabotage` names a patch of `tests.e2e.sabotage` that they start with."""

    def __init__(self, folder: Path, sabotage: str = "", **settings: Any) -> None:
        self.folder = folder
        self.port = free_port()
        self.settings: Settings = load_settings(_env_file=None, data_dir=folder / "data", **settings)
        self._overrides = {f"HEADWATER_{name.upper()}": str(value) for name, value in settings.items()}
        self._sabotage = sabotage
        self._commands: dict[str, tuple[list[str], dict[str, str]]] = {}
        self._running: dict[str, Child] = {}
        self.settings.data.mkdir(parents=True)
        tenant = tenant_named("default")
        self.keys = {role: create_key(self.settings.keys_file, tenant, role).token for role in Role}

    def define(self, name: str, module: str, arguments: Sequence[str] = (), **environment: str) -> None:
        """Name a command: `python -m module arguments`."""
        self._commands[name] = ([module, *arguments], environment)

    def start(self, name: str) -> None:
        words, environment = self._commands[name]
        command = [*(["tests.e2e.sabotage", self._sabotage] if self._sabotage else []), *words]
        env = {"HEADWATER_DATA_DIR": str(self.settings.data), **self._overrides, **environment}
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = Child(*command, env=env, loads=LOADS, output=log)

    def kill(self, name: str) -> None:
        """SIGKILL, at whatever it is doing."""
        process = self._running[name]
        process.kill()
        process.wait()

    def revive(self) -> None:
        """Start again what has died by itself, as `headwater up` would."""
        for name, process in list(self._running.items()):
            if process.poll() is not None:
                self.start(name)

    def stop(self, name: str, timeout_s: float = 30) -> int:
        """SIGTERM; the exit code."""
        process = self._running[name]
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        return process.wait(timeout_s)

    def close(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    def client(self, role: Role = Role.READ) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.keys[role]}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=60)

    def is_ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self.port}/health/ready", timeout=5).status_code == 200
        return False

    def wait_ready(self, timeout_s: float = 60) -> None:
        try:
            until(self.is_ready, "the service being ready", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log('api')}") from error


def pages(client: httpx.Client, path: str = "/logs/search", **params: str) -> list[dict[str, Any]]:
    """Every record of a search, page by page."""
    records: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        more = {"cursor": cursor} if cursor else {}
        response = client.get(path, params={"limit": "2000", **params, **more})
        assert response.status_code == 200, response.text
        answer = response.json()
        assert not answer["partial"], answer["tiers"]
        records += answer["records"]
        cursor = answer["next_cursor"]
        if cursor is None:
            return records


def account(client: httpx.Client, kind: str = "logs") -> dict[str, Any]:
    """The conservation equation of `kind`; {} when nothing of it was received."""
    response = client.get("/conservation")
    assert response.status_code == 200, response.text
    entries: list[dict[str, Any]] = response.json()["accounts"]
    return next((entry for entry in entries if entry["kind"] == kind), {})
