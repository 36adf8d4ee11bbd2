"""Acknowledged batches of this process -> whether a batch is a repeat that need not be stored again.

This is only a shortcut, as the flow drops repeats. A batch counts as a repeat if this process has appended all of its
sequence numbers, without a gap; the service then answers `duplicate: true` without an append.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from contracts.messages import Kind
from contracts.tenants import Tenant
from ingestion_api.identity import Identity

STREAMS = 50_000
KEYS = 50_000

_Stream = tuple[Tenant, Kind, str, int, str]
_Key = tuple[Tenant, Kind, str]


class Acknowledged:
    """Two bounded caches that forget the least recently used entry first. Thread-safe."""

    def __init__(self, remember_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._remember_s = remember_s
        self._clock = clock
        self._lock = threading.Lock()
        self._streams: OrderedDict[_Stream, tuple[int, int]] = OrderedDict()
        self._keys: OrderedDict[_Key, tuple[float, bytes]] = OrderedDict()

    def has_range(self, tenant: Tenant, kind: Kind, identity: Identity, span: int) -> bool:
        """True if an append of this process made all of [sequence, sequence + span) durable."""
        key = (tenant, kind, identity.producer, identity.epoch, identity.stream)
        with self._lock:
            first, following = self._streams.get(key, (0, 0))
            return first <= identity.sequence and identity.sequence + span <= following

    def add_range(self, tenant: Tenant, kind: Kind, identity: Identity, span: int) -> None:
        """Note that this range is durable. After a gap the range before the gap is forgotten."""
        key = (tenant, kind, identity.producer, identity.epoch, identity.stream)
        start, end = identity.sequence, identity.sequence + span
        with self._lock:
            first, following = self._streams.pop(key, (start, start))
            touches = start <= following and first <= end
            self._streams[key] = (min(first, start), max(following, end)) if touches else (start, end)
            while len(self._streams) > STREAMS:
                self._streams.popitem(last=False)

    def body_of_key(self, tenant: Tenant, kind: Kind, producer: str) -> bytes | None:
        """Digest of the body that was stored under this Idempotency-Key; None if the key is unknown."""
        with self._lock:
            since, digest = self._keys.get((tenant, kind, producer), (0.0, b""))
            return digest if digest and self._clock() - since < self._remember_s else None

    def add_key(self, tenant: Tenant, kind: Kind, producer: str, digest: bytes) -> None:
        """Note that the body of this digest is durable under this key. Keeps the first digest of a key."""
        with self._lock:
            since, known = self._keys.pop((tenant, kind, producer), (self._clock(), digest))
            if self._clock() - since >= self._remember_s:
                since, known = self._clock(), digest
            self._keys[(tenant, kind, producer)] = (since, known)
            while len(self._keys) > KEYS:
                self._keys.popitem(last=False)
