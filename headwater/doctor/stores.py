"""Checks of the data folder: keys, bus, hot store -> verdicts. Creates nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.messages import Kind
from headwater.console import counted, size
from headwater.doctor.verdict import Verdict, fail, ok, warn
from headwater.keyring import default_env
from headwater.presence import NONE_YET, is_missing

if TYPE_CHECKING:
    from contracts.settings import Settings


def key_files(settings: Settings) -> Verdict:
    """Fail if others than the owner may read the key files."""
    from web.keys import list_keys

    for path in (settings.keys_file, default_env(settings)):
        if path.exists() and path.stat().st_mode & 0o077:
            mode = oct(path.stat().st_mode & 0o777)[2:]
            return fail(
                f"{path} is open to others (mode {mode})", f"chmod 600 {path}; revoke its keys if others have read it"
            )
    if not settings.keys_file.exists():
        return ok("none yet; the first `headwater up` creates them")
    return ok(f"{counted(len(list_keys(settings.keys_file)), 'key')}, readable by their owner only")


def bus(settings: Settings) -> Verdict:
    if settings.bus.startswith("kafka://"):
        from headwater.doctor.kafka import kafka

        return kafka(settings)
    if is_missing(settings.bus, "sqlite://"):
        return ok(NONE_YET)
    from bus import open_bus

    opened = open_bus(settings.bus, settings)
    try:
        held = sum(
            extent.next_offset - extent.first_offset for kind in Kind for extent in opened.extents(kind.topic).values()
        )
        used = opened.size_bytes()
    finally:
        opened.close()
    text = f"{counted(held, 'batch', 'batches')}, {size(used)}"
    if used > 0.9 * (settings.bus_max_mib << 20):
        return warn(text, "near HEADWATER_BUS_MAX_MIB, where appends are refused: check the flow by headwater status")
    return ok(text)


def hot(settings: Settings) -> Verdict:
    if settings.hot.startswith(("opensearch://", "opensearchs://")):
        from headwater.doctor.opensearch import opensearch

        return opensearch(settings)
    if is_missing(settings.hot, "tantivy://"):
        return ok(NONE_YET)
    from lakehouse import open_hot

    store = open_hot(settings.hot, settings)
    try:
        days = sum(len(store.days(kind)) for kind in (Kind.LOGS, Kind.METRICS, Kind.EVENTS))
    finally:
        store.close()
    return ok(counted(days, "index", "indexes") + ", one per kind and day")
