"""The breaker on a real broker that is paused: requests end by their deadline, then at once; and all is well again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from contracts.settings import load_settings
from contracts.tenants import Role, tenant_named
from scripts.engines import kafka as kafka_engine
from tests.conftest import needs
from tests.ingestion_api.test_breaker import metrics_in
from tests.ingestion_api.test_failures import program
from tests.waiting import until
from web.keys import create_key

DEADLINE_S = 3.0
SLACK_S = 5.0  # of a busy machine; without a deadline a request would wait for as long as the broker is paused
AT_ONCE = 24


@dataclass(frozen=True)
class Heard:
    status: int
    code: str
    took_s: float


class Service:
    """A real process on the broker, with a deadline of `DEADLINE_S` and a breaker of 3 failures and 2 s."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def post(self, _: int = 0) -> Heard:
        began = time.monotonic()
        answer = self.client.post("/logs", json={"body": "x"})
        return Heard(answer.status_code, answer.json().get("code", ""), time.monotonic() - began)

    def at_once(self) -> list[Heard]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self.post, range(AT_ONCE)))

    def is_ready(self) -> bool:
        return self.client.get("/health/ready").status_code == 200


@contextlib.contextmanager
def serving(folder: Path, bus_url: str) -> Iterator[Service]:
    key = create_key(load_settings(_env_file=None, data_dir=folder).keys_file, tenant_named("shop"), Role.INGEST).token
    quick = {"BUS_TIMEOUT_S": str(DEADLINE_S), "BREAKER_FAILURES": "3", "BREAKER_OPEN_S": "2", "CONCURRENCY": "8"}
    extra = {"HEADWATER_BUS_URL": bus_url, **{f"HEADWATER_INGEST_{name}": value for name, value in quick.items()}}
    with (
        program(folder, "ingestion_api", extra=extra) as (process, url),
        httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=60) as client,
    ):
        yield Service(client)
        assert process.poll() is None


def test_a_paused_broker_costs_each_request_its_deadline_then_nothing_and_resumes_without_a_restart(
    tmp_path: Path,
) -> None:
    needs(kafka_engine)
    with kafka_engine.running(home=tmp_path / "kafka") as cluster, serving(tmp_path, cluster.url) as service:
        until(lambda: service.post().status == 202)
        node = cluster.nodes[0]
        node.pause()
        try:
            slow = service.at_once()
            assert {heard.status for heard in slow} == {503}
            assert max(heard.took_s for heard in slow) < DEADLINE_S + SLACK_S
            until(lambda: service.post().code == "bus_unavailable")

            assert not service.is_ready()
            state = metrics_in(service.client.get("/metrics").text)
            assert state['headwater_ingest_breaker_changes_total{to="open",topic="logs.raw"}'] >= 1
            later = [service.post() for _ in range(100)]
            assert {heard.status for heard in later} == {503}
        finally:
            node.resume()
        resumed_s = time.monotonic()
        until(lambda: service.post().status == 202)
        back_s = time.monotonic() - resumed_s
        until(service.is_ready)
    tell(slow, later, back_s)


def tell(slow: list[Heard], later: list[Heard], back_s: float) -> None:
    """What was measured, with `-s`; nothing of it is asserted."""
    quickly = sorted(heard.took_s * 1000 for heard in later)
    print(
        f"\npaused: {AT_ONCE} requests at once heard {sorted({heard.code for heard in slow})},"
        f" the last after {max(heard.took_s for heard in slow):.2f} s (deadline {DEADLINE_S:g} s);"
        f" then of 100 the median after {quickly[50]:.1f} ms, the 95th {quickly[95]:.1f} ms, the slowest, which was"
        f" tried if one was, {quickly[-1]:.0f} ms; codes {sorted({heard.code for heard in later})};"
        f" 202 again {back_s:.1f} s after the broker went on"
    )
