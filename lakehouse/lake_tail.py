"""What the lake has not landed yet -> a relation inside its SQL, so that one query counts every record once.

The lake's version and its landed offsets are pinned together; the hot store gives the records past them. They enter
the query as one text literal a column, which the engine splits: cheaper to plan than a VALUES list.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.answers import TierUse
from contracts.errors import StoreError
from contracts.hot import Found, HotStore
from contracts.messages import Kind
from contracts.query import Node
from contracts.records import attributes_text
from contracts.tenants import Tenant
from lakehouse.lake import Lake
from lakehouse.lake_literals import text_literal
from lakehouse.lake_snapshot import Snapshot

TAIL_ROWS = 50_000  # a few seconds of records; more means that the lake is behind, and is said
_FIRST_SEPARATOR = 0xE000

_READ: dict[str, tuple[str, Callable[[Found], Any]]] = {
    "timestamp": ('Timestamp(Microsecond, Some("UTC"))', lambda found: found.timestamp_ns // 1000),
    "bus_partition": ("Int32", lambda found: found.position.partition),
    "bus_offset": ("Int64", lambda found: found.position.offset),
    "bus_index": ("Int32", lambda found: found.position.index),
    "severity_number": ("Int32", lambda found: found.fields["severity_number"]),
    "value": ("Float64", lambda found: found.fields["value"]),
    "attributes": ("Utf8View", lambda found: attributes_text(found.fields["attributes"])),
    "metric_kind": ("Utf8View", lambda found: found.fields["kind"]),
}


@dataclass(frozen=True, slots=True)
class Ask:
    """What to read: records of `tenant` and `kind` that match, of event times from `start_ns` to before `end_ns`."""

    tenant: Tenant
    kind: Kind
    where: Node
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Answer:
    rows: list[dict[str, Any]]
    partial: bool
    tiers: dict[str, TierUse]


def ask(hot: HotStore | None, lake: Lake, question: Ask, columns: Sequence[str], sql: Callable[[str], str]) -> Answer:
    """Run `sql(tail)` over the newest version of the table and the hot store's tail past it.

    `tail` is a SELECT of `columns`, to be joined by UNION ALL. Without the lake, the hot store's records alone are
    asked: `sql` is then given a tail and the relation of the table is empty.

    Raises:
        StoreError: No tier could answer.
    """
    snapshot, lake_error, started = None, "", time.perf_counter()
    try:
        snapshot = lake.snapshot(question.kind, with_landed=True)
    except StoreError as error:
        lake_error = str(error)
    tail, use = _tail(hot, question, snapshot)
    if snapshot is None and (hot is None or use.error):
        raise StoreError(f"no tier can answer: {lake_error}", hint=use.error, retry_after_s=5)
    source = snapshot or lake.scratch(question.kind)
    hot_done = time.perf_counter()
    rows = source.query(sql(_relation(tail, columns))).to_pylist()
    took_ms = round((time.perf_counter() - hot_done + hot_done - started - use.took_ms / 1000) * 1000, 3)
    total = sum(row["n"] for row in rows)
    tiers = {"lake": TierUse(max(total - len(tail), 0), (), took_ms, lake_error)}
    if hot is not None:
        tiers["hot"] = use
    return Answer(rows, bool(lake_error or use.error), tiers)


def _tail(hot: HotStore | None, question: Ask, snapshot: Snapshot | None) -> tuple[Sequence[Found], TierUse]:
    if hot is None:
        return (), TierUse()
    started = time.perf_counter()
    after = {} if snapshot is None else snapshot.landed
    asked = (question.tenant, question.kind, question.where, question.start_ns, question.end_ns)
    found: Sequence[Found] = ()
    error = ""
    try:
        found = hot.tail(*asked, after, TAIL_ROWS)
        if len(found) >= TAIL_ROWS:
            error = f"the lake is behind; only {TAIL_ROWS} of the newest records are counted"
    except StoreError as failure:
        error = f"{failure}; records of the last seconds may be missing"
    return found, TierUse(len(found), (), round((time.perf_counter() - started) * 1000, 3), error)


def _relation(tail: Sequence[Found], columns: Sequence[str]) -> str:
    parts = []
    for name in columns:
        dtype, read = _READ.get(name, ("Utf8View", None))
        texts = [str(read(found) if read else found.fields[name]) for found in tail]
        separator = _separator(texts)
        split = f"unnest(string_to_array({text_literal(separator.join(texts))}, {text_literal(separator)}))"
        if dtype == "Utf8View":
            parts.append(f"arrow_cast(coalesce({split}, ''), '{dtype}') AS {name}")
        else:
            number = "Float64" if dtype == "Float64" else "Int64"
            parts.append(f"arrow_cast(arrow_cast({split}, '{number}'), '{dtype}') AS {name}")
    return f"SELECT {', '.join(parts)}" + ("" if tail else " WHERE FALSE")


def _separator(texts: Sequence[str]) -> str:
    """A character that stands in none of `texts`."""
    used = set().union(*texts)
    return next(chr(code) for code in range(_FIRST_SEPARATOR, 0xFFFF) if chr(code) not in used)
