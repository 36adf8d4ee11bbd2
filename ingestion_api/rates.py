"""Rate limits: tenant, records and bytes of a batch -> accepted, or refused with a time to wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from contracts.settings import Settings
from contracts.tenants import Tenant
from web.problems import Problem


class Bucket:
    """A token bucket. A batch larger than the bucket passes when the bucket is full, and leaves it negative."""

    def __init__(self, rate_per_s: float, burst_s: float, now_s: float) -> None:
        self._rate = rate_per_s
        self._size = rate_per_s * burst_s
        self._left = self._size
        self._at_s = now_s

    def wait_s(self, amount: float, now_s: float) -> float:
        """Seconds until `amount` may be taken; 0 if it may be taken now."""
        self._left = min(self._size, self._left + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        return max(0.0, (min(amount, self._size) - self._left) / self._rate)

    def take(self, amount: float) -> None:
        self._left -= amount


class Rates:
    """Records/s and bytes/s of each tenant; 0 is no limit. Thread-safe."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = {"records": settings.ingest_records_per_s, "bytes": settings.ingest_bytes_per_s}
        self._burst_s = settings.ingest_burst_s
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[tuple[Tenant, str], Bucket] = {}

    def take(self, tenant: Tenant, records: int, size_bytes: int) -> None:
        """Take both amounts, or neither.

        Raises:
            Problem: 429 `rate_limited` with `Retry-After`.
        """
        wanted = {"records": records, "bytes": size_bytes}
        with self._lock:
            now_s = self._clock()
            buckets = {what: self._bucket(tenant, what, now_s) for what, rate in self._limits.items() if rate}
            waits = {what: bucket.wait_s(wanted[what], now_s) for what, bucket in buckets.items()}
            if not any(waits.values()):
                for what, bucket in buckets.items():
                    bucket.take(wanted[what])
                return
        what = max(waits, key=lambda name: waits[name])
        retry_s = int(waits[what]) + 1
        limit = f"the tenant's limit of {self._limits[what]:g} {what}/s is exceeded"
        detail = f"nothing was stored: {limit}; send the request again in {retry_s} s"
        raise Problem(429, "rate_limited", detail, headers={"Retry-After": str(retry_s)}, limit=what)

    def _bucket(self, tenant: Tenant, what: str, now_s: float) -> Bucket:
        key = (tenant, what)
        if key not in self._buckets:
            self._buckets[key] = Bucket(self._limits[what], self._burst_s, now_s)
        return self._buckets[key]
