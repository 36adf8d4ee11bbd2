"""Check of the lake: folder or S3 server -> a verdict. Makes nothing in a folder; in a bucket, keys that go again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.messages import Kind
from headwater.console import counted
from headwater.doctor_stores import missing
from headwater.verdict import Verdict, ok

if TYPE_CHECKING:
    from contracts.settings import Settings
    from lakehouse.object_store import ObjectStore

RACE_KEYS = 200  # a start makes do with 40


def lake(settings: Settings) -> Verdict:
    if (absent := missing(settings.lake, "")) is not None:
        return absent
    from lakehouse import open_lake
    from lakehouse.object_store import object_store

    store = object_store(settings.lake, settings)
    raced = _race(store) if store is not None else ""
    opened = open_lake(settings.lake, settings)
    try:
        rows = sum(table.rows for table in opened.tables() if table.kind in tuple(Kind))
    finally:
        opened.close()
    return ok(counted(rows, "row") + raced)


def _race(store: ObjectStore) -> str:
    """How the server did.

    Raises:
        ConfigError: It would lose commits.
        StoreError: It cannot be asked.
    """
    from lakehouse.object_store_probe import TIMEOUT_S, check_bucket, demand_fair, race

    client = store.client(TIMEOUT_S)
    outcome = race(store, client, check_bucket(store, client), RACE_KEYS)
    demand_fair(store, outcome)
    return f"; {store.name}: {outcome.keys} keys raced for, one winner each, in {outcome.took_s:.1f} s"
