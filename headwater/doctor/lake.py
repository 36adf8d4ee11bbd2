"""Check of the lake: folder or S3 server -> a verdict. In a bucket, writes and deletes test keys."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from contracts.errors import BusError
from contracts.messages import Kind
from headwater.console import counted
from headwater.doctor.verdict import Verdict, ok, together, warn
from headwater.presence import NONE_YET, is_missing

if TYPE_CHECKING:
    from contracts.settings import Settings
    from lakehouse.lake.store import Lake
    from lakehouse.s3.store import ObjectStore

RACE_KEYS = 200  # a start uses 40
SKEW_S = 60.0  # from 15 minutes on servers refuse signatures


def lake(settings: Settings) -> Verdict:
    """Check the lake. Raises ConfigError or StoreError with the reason if the lake cannot be used."""
    if is_missing(settings.lake):
        return ok(NONE_YET)
    from lakehouse import open_lake
    from lakehouse.s3.store import object_store

    store = object_store(settings.lake, settings)
    verdicts, raced = _server(store) if store is not None else ([], "")
    opened = open_lake(settings.lake, settings)
    try:
        rows = sum(table.rows for table in opened.tables() if table.kind in tuple(Kind))
        verdicts += _of_its_bus(settings, opened)
    finally:
        opened.close()
    return together(verdicts, counted(rows, "row") + raced)


def _of_its_bus(settings: Settings, opened: Lake) -> list[Verdict]:
    """Warn if the bus is not the one that filled the lake."""
    if is_missing(settings.bus, "sqlite://"):
        return []
    from bus import open_bus
    from lakehouse.upkeep.care import Care
    from orchestration.due.backlog import bus_risk
    from query_api.places import replaced

    # If the bus cannot be read, the check of the bus reports the reason.
    with contextlib.suppress(BusError), contextlib.closing(open_bus(settings.bus, settings)) as queue:
        if kinds := replaced(queue, opened):
            found = f"the bus of {', '.join(kinds)} was lost and made anew, and no flow has read it yet"
            return [warn(found, "start the flows to read the new bus; records only on the lost bus are gone")]
        with contextlib.closing(Care(settings)) as care:
            return [warn(risk.message, "see headwater status") for risk in bus_risk(care, queue)]
    return []


def retention(settings: Settings) -> Verdict:
    """Check the retention policy. Raises ConfigError with the reason if the policy is not valid."""
    from lakehouse.upkeep.policy.file import load_policy

    policy = load_policy(settings)
    return ok(f"{counted(len(policy.rules), 'rule')} in {policy.source}" if policy.source else "default policy")


def _server(store: ObjectStore) -> tuple[list[Verdict], str]:
    """Warnings about the server, and the result of the race in words."""
    from lakehouse.s3.check import look

    facts = look(store, RACE_KEYS)
    race = facts.race
    words = f"; {store.name}, {facts.server}: {race.keys} keys raced for, one winner each, in {race.took_s:.1f} s"
    if facts.skew_s is None or abs(facts.skew_s) < SKEW_S:
        return [], words
    way = "ahead of" if facts.skew_s > 0 else "behind"
    found = f"our clock is {abs(facts.skew_s):.0f} s {way} that of {store.name}"
    return [warn(found, "synchronise both clocks (NTP): from 15 minutes on S3 refuses every request")], words
