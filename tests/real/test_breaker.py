"""The breaker on a real broker that is paused: requests end by their deadline, then at once; and all is well again."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from contracts.settings import load_settings
from contracts.tenants import Role, tenant_named
from scripts.engines import kafka as kafka_engine
from tests.ingestion_api.test_breaker import metrics_in, until
from tests.ingestion_api.test_failures import program
from tests.real.conftest import needs
from web.keys import create_key

DEADLINE_S = 3.0
SLACK_S = 5.0  # of a busy machine; without a deadline a request would wait for as long as the broker is paused
AT_ONCE = 24


@dataclass(frozen=True)
class Heard:
    status: int
    code: str
    took_s: float


def test_a_paused_broker_costs_each_request_its_deadline_then_nothing_and_resumes_without_a_restart(
    tmp_path: Path,
) -> None:
    needs(kafka_engine)
    quick = {"BUS_TIMEOUT_S": str(DEADLINE_S), "BREAKER_FAILURES": "3", "BREAKER_OPEN_S": "2", "CONCURRENCY": "8"}
    with kafka_engine.running(home=tmp_path / "kafka") as cluster:
        settings = load_settings(_env_file=None, data_dir=tmp_path)
        key = create_key(settings.keys_file, tenant_named("shop"), Role.INGEST).token
        extra = {f"HEADWATER_INGEST_{name}": value for name, value in quick.items()}
        extra["HEADWATER_BUS_URL"] = cluster.url
        with (
            program(tmp_path, "ingestion_api", extra=extra) as (process, url),
            httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=60) as client,
        ):

            def post(_: int = 0) -> Heard:
                began = time.monotonic()
                answer = client.post("/logs", json={"body": "x"})
                return Heard(answer.status_code, answer.json().get("code", ""), time.monotonic() - began)

            until(lambda: post().status == 202)
            node = cluster.nodes[0]
            node.pause()
            try:
                with ThreadPoolExecutor(AT_ONCE) as pool:
                    slow = list(pool.map(post, range(AT_ONCE)))
                assert {heard.status for heard in slow} == {503}
                assert max(heard.took_s for heard in slow) < DEADLINE_S + SLACK_S
                until(lambda: post().code == "bus_unavailable")

                ready = client.get("/health/ready")
                assert ready.status_code == 503
                state = metrics_in(client.get("/metrics").text)
                assert state['headwater_ingest_breaker_changes_total{to="open"}'] >= 1
                later = [post() for _ in range(100)]
                assert {heard.status for heard in later} == {503}
            finally:
                node.resume()
            resumed_s = time.monotonic()
            until(lambda: post().status == 202)
            back_s = time.monotonic() - resumed_s
            until(lambda: client.get("/health/ready").status_code == 200)
            assert process.poll() is None
    quickly = sorted(heard.took_s * 1000 for heard in later)
    print(
        f"\npaused: {AT_ONCE} requests at once heard {sorted({heard.code for heard in slow})},"
        f" the last after {max(heard.took_s for heard in slow):.2f} s (deadline {DEADLINE_S:g} s);"
        f" then of 100 the median after {quickly[50]:.1f} ms, the 95th {quickly[95]:.1f} ms, the slowest, which was"
        f" tried if one was, {quickly[-1]:.0f} ms; codes {sorted({heard.code for heard in later})};"
        f" 202 again {back_s:.1f} s after the broker went on"
    )
