"""Rate limits, with a clock of our own."""

from __future__ import annotations

import pytest

from contracts.settings import load_settings
from contracts.tenants import Tenant
from ingestion_api.rates import Rates
from web.problems import Problem

A, B = Tenant("a"), Tenant("b")


def make(now: list[float], **limits: float) -> Rates:
    return Rates(load_settings(_env_file=None, **limits), clock=lambda: now[0])


def wait_of(rates: Rates, tenant: Tenant, records: int, size: int) -> int:
    """0, or what Retry-After says."""
    try:
        rates.take(tenant, records, size)
    except Problem as problem:
        return int(problem.headers["Retry-After"]) if problem.code == "rate_limited" else -1
    return 0


def test_the_burst_passes_then_the_rate_holds_and_retry_after_is_enough() -> None:
    now = [0.0]
    rates = make(now, ingest_records_per_s=100, ingest_burst_s=2)
    assert wait_of(rates, A, 200, 1) == 0
    wait_s = wait_of(rates, A, 100, 1)
    assert wait_s >= 1

    now[0] += 0.5
    assert wait_of(rates, A, 100, 1) > 0
    now[0] = wait_s

    assert wait_of(rates, A, 100, 1) == 0


def test_tenants_do_not_share_and_zero_is_no_limit() -> None:
    now = [0.0]
    rates = make(now, ingest_records_per_s=10, ingest_burst_s=1)
    assert wait_of(rates, A, 10, 1) == 0
    assert wait_of(rates, A, 10, 1) > 0
    assert wait_of(rates, B, 10, 1) == 0
    assert wait_of(make(now), A, 10**9, 10**12) == 0


def test_a_refused_batch_takes_from_neither_bucket() -> None:
    now = [0.0]
    rates = make(now, ingest_records_per_s=10, ingest_bytes_per_s=1000, ingest_burst_s=1)
    assert wait_of(rates, A, 1, 900) == 0
    for _ in range(20):
        assert wait_of(rates, A, 9, 900) > 0
    assert wait_of(rates, A, 9, 100) == 0


def test_a_batch_larger_than_the_burst_passes_once_and_is_paid_for() -> None:
    now = [0.0]
    rates = make(now, ingest_records_per_s=10, ingest_burst_s=1)
    assert wait_of(rates, A, 100, 1) == 0
    assert wait_of(rates, A, 1, 1) == pytest.approx(10, abs=1)
