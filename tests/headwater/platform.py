"""`headwater up` for tests: started for real on a folder, with a client per role."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from contracts.settings import Settings, load_settings
from contracts.tenants import Role
from headwater.keyring import local_key
from headwater.running import running
from tests.headwater.processes import output, started
from tests.waiting import until


class Platform:
    """One `headwater up` over `<folder>/data`."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.process = process
        self.settings: Settings = load_settings(_env_file=None, data_dir=folder / "data")
        until(lambda: "everything is ready" in output(folder) or process.poll() is not None, "being ready")
        here = running(self.settings.data)
        assert here, output(folder)
        self.url = here.url

    def client(self, role: Role) -> httpx.Client:
        headers = {"Authorization": f"Bearer {local_key(self.settings, role)}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def send(self, records: list[dict[str, Any]], key: str) -> None:
        """As a client that means it: with an idempotency key, again and again until it is taken."""

        def taken() -> bool:
            with contextlib.suppress(httpx.TransportError), self.client(Role.INGEST) as client:
                return client.post("/logs", json=records, headers={"Idempotency-Key": key}).status_code == 202
            return False

        until(taken, "the batch being taken")

    def account(self) -> dict[str, Any]:
        """Of logs; {} while the service is away or has nothing."""
        with contextlib.suppress(httpx.TransportError), self.client(Role.READ) as client:
            answer = client.get("/conservation")
            if answer.status_code == 200:
                entries: list[dict[str, Any]] = answer.json()["accounts"]
                return next((entry for entry in entries if entry["kind"] == "logs"), {})
        return {}

    def has(self, count: int) -> bool:
        """Whether both stores have `count` log records, and nothing is on its way."""
        entry = self.account()
        return bool(entry) and entry["visible"] == count and not any(lag["messages"] for lag in entry["lag"].values())

    def bodies(self) -> list[str]:
        """Of every log record, page by page."""
        found: list[str] = []
        cursor = ""
        with self.client(Role.READ) as client:
            while True:
                params = {"limit": "1000", **({"cursor": cursor} if cursor else {})}
                answer = client.get("/logs/search", params=params).json()
                found += [record["body"] for record in answer["records"]]
                cursor = answer["next_cursor"] or ""
                if not cursor:
                    return found


@contextlib.contextmanager
def platform(folder: Path, **settings: str) -> Iterator[Platform]:
    words = ("up", "--no-batch", "--data-dir", str(folder / "data"), "--port", "0")
    env = {"HEADWATER_LAKE_COMMIT_S": "1", **settings}
    with started(folder, "-m", "headwater", *words, env=env) as process:
        yield Platform(folder, process)
