"""What the lake has not landed yet -> a relation inside its SQL, so that one query counts every record once.

The lake's version and its landed offsets are pinned together; the hot store gives the records past them. They enter
the query as one text literal a column, which the engine splits: cheaper to plan than a VALUES list.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from contracts.answers import TierUse
from contracts.errors import StoreError
from contracts.hot import Found, HotStore
from contracts.messages import Kind
from contracts.query import DEFAULT_TIERS, Node, Tier
from contracts.records import attributes_text
from contracts.tenants import Tenant
from lakehouse.lake.archive import table_name, visible_sql
from lakehouse.lake.snapshot import Snapshot
from lakehouse.lake.store import Lake
from lakehouse.read.pages import Below, archive_name, check_any, since, use_of
from lakehouse.read.settled import settled_sql
from lakehouse.sql.literals import TRUE, text_literal
from lakehouse.sql.query import days_sql, time_sql

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
    tiers: Collection[str] = DEFAULT_TIERS
    which: str = TRUE  # a further condition, as SQL over the columns

    def conditions(self) -> list[str]:
        """As SQL, all but `where`."""
        times = time_sql(self.start_ns, self.end_ns)
        return [f"tenant = {text_literal(self.tenant)}", *times, *([] if self.which == TRUE else [self.which])]


@dataclass(frozen=True, slots=True)
class Answer:
    rows: list[dict[str, Any]]
    partial: bool
    tiers: dict[str, TierUse]


def ask(hot: HotStore | None, lake: Lake, question: Ask, columns: Sequence[str], sql: Callable[[str], str]) -> Answer:
    """Run `sql(records)` over the records of all tiers that are asked for: a SELECT of `columns`.

    Each record stands in it once: those of the newest version of the lake's table, those of the hot store past them,
    and those of the archive.

    Raises:
        StoreError: No tier could answer.
        QueryError: The query has no answer as written.
    """
    started, tiers = time.perf_counter(), dict[str, TierUse]()
    below = Below(lake, question.kind, question.tiers, with_landed=True)
    lake_asked = Tier.LAKE in question.tiers
    tail, days = (), ()  # type: tuple[Sequence[Found], Sequence[dt.date]]
    if hot is not None and Tier.HOT in question.tiers:
        tail, days, tiers[Tier.HOT] = _tail(hot, question, below.snapshot, lake_asked)
    source = (below.snapshot if lake_asked else None) or lake.scratch(question.kind)
    archive = below.archive(source, question.tenant, question.start_ns, question.end_ns, days)
    if lake_asked:
        tiers[Tier.LAKE] = TierUse(error=below.error)
    if archive is not None:
        tiers[Tier.ARCHIVE] = use_of(archive, 0)
    failed = check_any(tiers)
    records = f"{_matching(question, source, columns)} UNION ALL {_relation(tail, columns, question.which)}"
    rows = _with_archive(question, source, below, days, columns, lambda old: sql(f"{records} UNION ALL {old}"), tiers)
    if rows is None:
        rows = source.query(sql(records)).to_pylist()
    if lake_asked:
        others = len(tail) + (tiers[Tier.ARCHIVE].rows if archive is not None else 0)
        spent_ms = since(started) - sum(use.took_ms for use in tiers.values())
        total = sum(row["n"] for row in rows)
        tiers[Tier.LAKE] = replace(tiers[Tier.LAKE], rows=max(total - others, 0), took_ms=round(spent_ms, 3))
    failed = failed or any(use.error and not use.skipped for use in tiers.values())
    return Answer(rows, failed, tiers)


def _matching(question: Ask, source: Snapshot, columns: Sequence[str], table: str = "", *more: str) -> str:
    table, conditions = table or question.kind.value, [*more, *question.conditions()]
    where = settled_sql(question.where, question.kind, source, table, conditions)
    return f"SELECT {', '.join(columns)} FROM {table} WHERE {' AND '.join([*conditions, where])}"


def _with_archive(
    question: Ask,
    source: Snapshot,
    below: Below,
    not_days: Sequence[dt.date],
    columns: Sequence[str],
    sql: Callable[[str], str],
    tiers: dict[str, TierUse],
) -> list[dict[str, Any]] | None:
    """The rows of `sql(archive)`; None where the archive has no part in it, or cannot be read, which is noted."""
    use = tiers.get(Tier.ARCHIVE)
    if below.snapshot is None or use is None or use.skipped or use.error or not use.days:
        return None
    started, kind = time.perf_counter(), question.kind
    more = [visible_sql(below.snapshot.moves), *days_sql(not_days)]
    try:
        matching = _matching(question, source, columns, table_name(kind), *more)
        (count,) = source.query(f"SELECT count(*) AS n FROM ({matching})", archive_name(kind)).to_pylist()
        took_ms = use.took_ms + since(started)
        rows = source.query(sql(matching), archive_name(kind)).to_pylist()
    except StoreError as error:
        tiers[Tier.ARCHIVE] = replace(use, took_ms=use.took_ms + since(started), error=str(error))
        return None
    tiers[Tier.ARCHIVE] = replace(use, rows=count["n"], took_ms=round(took_ms, 3))
    return rows


def _tail(
    hot: HotStore, question: Ask, snapshot: Snapshot | None, lake_asked: bool
) -> tuple[Sequence[Found], Sequence[dt.date], TierUse]:
    """What the hot store has past the lake; or, without the lake, all it has, and of which days others need not be
    asked."""
    started = time.perf_counter()
    landed: Mapping[int, int] = {} if snapshot is None else snapshot.landed
    found, days, error = (), (), ""  # type: tuple[Sequence[Found], Sequence[dt.date], str]
    asked = (question.tenant, question.kind, question.where, question.start_ns, question.end_ns)
    try:
        checkpoints = {} if lake_asked else hot.checkpoints(question.kind)
        # A hot store that is being filled again holds no day in full.
        whole = not lake_asked and all(checkpoints.get(part, 0) >= offset for part, offset in landed.items())
        days = hot.days(question.kind) if whole else ()
        found = hot.tail(*asked, {} if whole else landed, TAIL_ROWS)
        if snapshot is not None and lake_asked:
            error = behind(lacking(hot.checkpoints(question.kind), landed))
        if len(found) >= TAIL_ROWS:
            error = f"the lake is behind; only {TAIL_ROWS} of the newest records are counted"
            if not lake_asked:
                error = f"only {TAIL_ROWS} of the newest records are counted: ask the lake too"
    except StoreError as failure:
        days, error = (), f"{failure}; records of the last seconds may be missing"
    return found, days, TierUse(len(found), tuple(days), since(started), error)


def lacking(checkpoints: Mapping[int, int], landed: Mapping[int, int]) -> int:
    """How many messages the lake has, by its landed offsets, that the hot store lacks."""
    return sum(max(0, offset - checkpoints.get(partition, 0)) for partition, offset in landed.items())


def behind(messages: int) -> str:
    """What an answer says of a hot store that lacks so many; "" for none."""
    if not messages:
        return ""
    return f"the hot store is {messages} messages behind the lake; records of the last seconds may be missing"


def _relation(tail: Sequence[Found], columns: Sequence[str], which: str) -> str:
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
    relation = f"SELECT {', '.join(parts)}" + ("" if tail else " WHERE FALSE")
    return relation if which == TRUE else f"SELECT * FROM ({relation}) WHERE {which}"


def _separator(texts: Sequence[str]) -> str:
    """A character that stands in none of `texts`."""
    used = set().union(*texts)
    return next(chr(code) for code in range(_FIRST_SEPARATOR, 0xFFFF) if chr(code) not in used)
