"""`headwater trace`: a record's id, or its place on the bus -> where it stands, who sent it, what made its row."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from contracts.errors import ConfigError
from contracts.messages import Kind
from contracts.query import Position
from headwater.console import out, table
from headwater.presence import is_missing

if TYPE_CHECKING:
    from contracts.settings import Settings
    from lakehouse.upkeep.provenance import Provenance

_ID, _PLACE = re.compile(r"[0-9a-fA-F]{32}\Z"), re.compile(r"(\d{1,9}):(\d{1,18}):(\d{1,9})\Z")


def trace(settings: Settings, record: str, kind: str, tenant: str, as_json: bool) -> int:
    """1 when neither lake nor archive has it."""
    wanted, kinds = _wanted(record, kind), [_kind(kind)] if kind else list(Kind)
    found: list[Provenance] = []
    if not is_missing(settings.lake):
        from lakehouse.upkeep.care import Care
        from lakehouse.upkeep.provenance import provenance as rows_of

        care = Care(settings)
        for each in kinds:
            found += rows_of(care, each, wanted, tenant)
        care.close()
    if as_json:
        print(json.dumps([_entry(one) for one in found], indent=2, default=str))
    elif not found:
        out.print(
            f"{record} is in neither lake nor archive; what arrived in the last {settings.lake_commit_s:g} s may be in "
            "the hot store alone"
        )
    for one in () if as_json else found:
        rows = table("", "")
        for name, value in _entry(one).items():
            rows.add_row(name, "\n".join(value) if isinstance(value, list) else str(value))
        out.print(rows)
    return 0 if found else 1


def _wanted(record: str, kind: str) -> str | Position:
    if _ID.match(record):
        return record
    if place := _PLACE.match(record):
        if not kind:
            raise ConfigError("each kind has partitions of its own", hint="say which: --kind logs")
        return Position(*map(int, place.groups()))
    raise ConfigError(
        f'"{record[:80]}" is neither an id nor a place', hint="32 hex digits as answers show, or partition:offset:index"
    )


def _kind(kind: str) -> Kind:
    try:
        return Kind(kind)
    except ValueError:
        raise ConfigError(f'there is no kind "{kind}"', hint=f"one of {', '.join(Kind)}") from None


def _entry(found: Provenance) -> dict[str, object]:
    row = found.row
    return {
        "id": found.id,
        "tenant": row["tenant"],
        "kind": found.kind.value,
        "topic": found.kind.topic,
        "bus partition": row["bus_partition"],
        "bus offset": row["bus_offset"],
        "index in its message": row["bus_index"],
        "producer": row["producer"],
        "epoch": row["epoch"],
        "stream": row["stream"],
        "sequence": row["sequence"],
        "event time": row["timestamp"],
        "received": row["observed_timestamp"],
        "pipeline": row["pipeline"],
        "tier": found.tier,
        "arrival day": row["day"],
        "table version": found.version,
        "file": list(found.files),
    }
