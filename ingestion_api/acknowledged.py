"""What this process knows to be durable: acknowledged batches -> whether a repeat need not be stored again.

Only a shortcut. The flow drops repeats by itself; this answers `duplicate: true` early, and never by a guess: a batch
counts as stored when it lies wholly within what was appended by this process, without a gap.
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
    """Two bounded memories, the least recently used entry leaves first. Thread-safe."""

    def __init__(self, remember_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._remember_s = remember_s
        self._clock = clock
        self._lock = threading.Lock()
        self._streams: OrderedDict[_Stream, tuple[int, int]] = OrderedDict()
        self._keys: OrderedDict[_Key, tuple[float, bytes]] = OrderedDict()

    def has_range(self, tenant: Tenant, kind: Kind, identity: Identity, span: int) -> bool:
        """Whether all of [sequence, sequence + span) is durable by an append of this process."""
        key = (tenant, kind, identity.producer, identity.epoch, identity.stream)
        with self._lock:
            first, following = self._streams.get(key, (0, 0))
            return first <= identity.sequence and identity.sequence + span <= following

    def add_range(self, tenant: Tenant, kind: Kind, identity: Identity, span: int) -> None:
        """Note that this range is durable now. Behind a gap, what was known before is forgotten."""
        key = (tenant, kind, identity.producer, identity.epoch, identity.stream)
        start, end = identity.sequence, identity.sequence + span
        with self._lock:
            first, following = self._streams.pop(key, (start, start))
            touches = start <= following and first <= end
            self._streams[key] = (min(first, start), max(following, end)) if touches else (start, end)
            while len(self._streams) > STREAMS:
                self._streams.popitem(last=False)

    def body_of_key(self, tenant: Tenant, kind: Kind, producer: str) -> bytes | None:
        """Digest of the body that was stored under this Idempotency-Key, None when that is not known."""
        with self._lock:
            since, digest = self._keys.get((tenant, kind, producer), (0.0, b""))
            return digest if digest and self._clock() - since < self._remember_s else None

    def add_key(self, tenant: Tenant, kind: Kind, producer: str, digest: bytes) -> None:
        """Note that the body of this digest is durable under this key. The first one stays."""
        with self._lock:
            since, known = self._keys.pop((tenant, kind, producer), (self._clock(), digest))
            if self._clock() - since >= self._remember_s:
                since, known = self._clock(), digest
            self._keys[(tenant, kind, producer)] = (since, known)
            while len(self._keys) > KEYS:
                self._keys.popitem(last=False)
