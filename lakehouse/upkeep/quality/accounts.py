"""Accounts of a day: the ledger and the rows -> the frame `offsets`, one row per bus partition and tenant.

A bus offset belongs to a message, that is one request with many records. A sound ledger meets these conditions:

- the accounts of a partition, all tenants together, cover every offset, and no two accounts of a tenant share one;
- received = landed + duplicates + dead-lettered + dropped, in every account;
- landed = rows at the account's offsets, in lake or archive, plus rows that were removed and counted;
- no row has an offset without an account.

The accounts of a day name this day. An account across midnight names the later day, so rows of the neighbouring days
count too if an account reaches there. Imported rows have no offset of the bus and no account here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from contracts.batches import IMPORTED
from contracts.messages import Kind
from lakehouse.delta.schemas import LEDGER
from lakehouse.sql.literals import day_literal, text_literal
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.pinned import PinnedRows

DAY = dt.timedelta(days=1)

_Key = tuple[int, str]  # bus partition, tenant

# Runs of accounts of one day, without an account of another day between them (by tenant and partition).
_RUNS = """
SELECT day, bus_partition, tenant, min(first_offset) AS first_offset, max(next_offset) AS next_offset,
    sum(received) AS received, sum(landed) AS landed, sum(duplicates) AS duplicates,
    sum(dead_lettered) AS dead_lettered, sum(lost) AS lost
FROM (SELECT *, row_number() OVER (PARTITION BY bus_partition, tenant ORDER BY first_offset, next_offset)
        - row_number() OVER (PARTITION BY bus_partition, tenant, day ORDER BY first_offset, next_offset) AS run
    FROM ledger WHERE {where}) AS numbered
GROUP BY day, bus_partition, tenant, run ORDER BY bus_partition, tenant, first_offset"""

# Compares each account with the end of the accounts before: all tenants' for gaps, its own tenant's for shared offsets.
_TILES = """
SELECT bus_partition, tenant, sum(gap) AS gap, sum(shared) AS shared FROM (
    SELECT day, bus_partition, tenant,
        CASE WHEN first_offset > reached THEN first_offset - reached ELSE 0 END AS gap,
        CASE WHEN first_offset < own THEN least(own, next_offset) - first_offset ELSE 0 END AS shared
    FROM (SELECT *, max(next_offset) OVER (PARTITION BY bus_partition ORDER BY first_offset, next_offset
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached,
            max(next_offset) OVER (PARTITION BY bus_partition, tenant ORDER BY first_offset, next_offset
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS own
        FROM (SELECT day, tenant, bus_partition, first_offset, next_offset FROM ledger WHERE {where}
            UNION ALL SELECT {before_day}, '', bus_partition, max(next_offset), max(next_offset) FROM ledger
            WHERE kind = {kind} AND day < {first_day} GROUP BY bus_partition) AS accounts) AS seen) AS tiles
WHERE day = {day} GROUP BY bus_partition, tenant"""

_ROWS = """
SELECT bus_partition, tenant, run, count(*) AS n, count(*) FILTER (WHERE day = {day}) AS of_day
FROM {every}
LEFT JOIN (VALUES {runs}) AS runs (run, run_partition, run_tenant, run_first, run_next)
    ON bus_partition = run_partition AND tenant = run_tenant AND bus_offset >= run_first AND bus_offset < run_next
GROUP BY bus_partition, tenant, run"""


@dataclass(slots=True)
class _Share:
    """Sums of one tenant's accounts of the day in one partition, and the rows found there."""

    first_offset: int = -1
    next_offset: int = -1
    received: int = 0
    landed: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    dropped: int = 0
    lost: int = 0
    rows: int = 0
    repeated: int = 0
    gap: int = 0
    shared: int = 0
    unaccounted: int = 0

    @property
    def missing(self) -> int:
        """Landed rows that were not found; negative: more rows were found than have landed."""
        return self.landed - (self.rows - self.repeated)


def offsets_frame(
    care: Care, kind: Kind, day: dt.date, table: PinnedRows, repeated: Sequence[Mapping[str, Any]], gone: int
) -> Sequence[Mapping[str, Any]]:
    """One row per bus partition and tenant.

    Args:
        table: The lake's table, with the archive if it has rows of the day or of a neighbouring day.
        repeated: The frame `ids`; its check reports repeated positions, so they do not count here.
        gone: Rows of the day that retention or an erasure removed, of all tenants.
    """
    ledger = PinnedRows(care.table(LEDGER))
    shares: dict[_Key, _Share] = {}
    runs = ledger.rows(_RUNS.format(where=_around(kind, day)))
    for run in runs:
        if run["day"] == day:
            _add(shares.setdefault((run["bus_partition"], run["tenant"]), _Share()), run)
    _add_dropped(shares, ledger, kind, day)
    _add_tiles(shares, ledger, kind, day)
    _add_rows(shares, table, day, runs)
    for row in repeated:
        if row["what"] == "place" and (row["bus_partition"], row["tenant"]) in shares:
            shares[row["bus_partition"], row["tenant"]].repeated += row["repeated"]
    missing = sum(max(share.missing, 0) for share in shares.values())
    gapless = not care.settings.bus.startswith("kafka")  # Kafka uses offsets for marks of transactions too
    return [_told(key, share, gapless, missing <= gone) for key, share in sorted(shares.items())]


def _around(kind: Kind, day: dt.date) -> str:
    return f"kind = {text_literal(kind.value)} AND day >= {day_literal(day - DAY)} AND day <= {day_literal(day + DAY)}"


def _add(share: _Share, run: Mapping[str, Any]) -> None:
    first = run["first_offset"]
    share.first_offset = first if share.first_offset < 0 else min(share.first_offset, first)
    share.next_offset = max(share.next_offset, run["next_offset"])
    for name in ("received", "landed", "duplicates", "dead_lettered", "lost"):
        setattr(share, name, getattr(share, name) + run[name])


def _add_dropped(shares: dict[_Key, _Share], ledger: PinnedRows, kind: Kind, day: dt.date) -> None:
    found = ledger.rows(
        f"SELECT bus_partition, tenant, dropped, count(*) AS n FROM ledger WHERE kind = {text_literal(kind.value)}"
        f" AND day = {day_literal(day)} AND dropped <> '{{}}' GROUP BY bus_partition, tenant, dropped"
    )
    for row in found:
        share = shares[row["bus_partition"], row["tenant"]]
        share.dropped += row["n"] * sum(msgspec.json.decode(row["dropped"], type=dict[str, int]).values())


def _add_tiles(shares: dict[_Key, _Share], ledger: PinnedRows, kind: Kind, day: dt.date) -> None:
    sql = _TILES.format(
        where=_around(kind, day),
        kind=text_literal(kind.value),
        day=day_literal(day),
        first_day=day_literal(day - DAY),
        before_day=day_literal(day - 2 * DAY),
    )
    for row in ledger.rows(sql):
        share = shares[row["bus_partition"], row["tenant"]]
        share.gap, share.shared = row["gap"], row["shared"]


def _add_rows(shares: dict[_Key, _Share], table: PinnedRows, day: dt.date, runs: Sequence[Mapping[str, Any]]) -> None:
    if not runs:
        return
    hulls: dict[int, tuple[int, int]] = {}
    for run in runs:
        first, after = hulls.get(run["bus_partition"], (run["first_offset"], run["next_offset"]))
        hulls[run["bus_partition"]] = min(first, run["first_offset"]), max(after, run["next_offset"])
    own = [_place(run["bus_partition"], run["first_offset"], run["next_offset"]) for run in runs if run["day"] == day]
    known = " OR ".join(_place(partition, *hull) for partition, hull in hulls.items())
    where = (
        f"day >= {day_literal(day - DAY)} AND day <= {day_literal(day + DAY)} AND bus_partition <> {IMPORTED:d}"
        f" AND ((day = {day_literal(day)} AND ({known}))"
        f" OR (day <> {day_literal(day)} AND ({' OR '.join(own) or 'FALSE'})))"
    )
    values = ", ".join(
        f"({at}, {run['bus_partition']}, {text_literal(run['tenant'])}, {run['first_offset']}, {run['next_offset']})"
        for at, run in enumerate(runs)
    )
    every = table.every("day, tenant, bus_partition, bus_offset", where)
    for row in table.rows(_ROWS.format(day=day_literal(day), every=every, runs=values)):
        key = row["bus_partition"], row["tenant"]
        if row["run"] is None:
            shares.setdefault(key, _Share()).unaccounted += row["of_day"]
        elif runs[row["run"]]["day"] == day:
            shares[key].rows += row["n"]


def _place(partition: int, first: int, after: int) -> str:
    return f"(bus_partition = {partition:d} AND bus_offset >= {first:d} AND bus_offset < {after:d})"


def _told(key: _Key, share: _Share, gapless: bool, excused: bool) -> dict[str, Any]:
    unbalanced = share.received - share.landed - share.duplicates - share.dead_lettered - share.dropped
    wrong = {
        "offsets without an account": share.gap if gapless else 0,
        "offsets with two accounts": share.shared,
        "records that the accounts do not balance": abs(unbalanced),
        "rows that landed and are missing": 0 if excused else max(share.missing, 0),
        "rows more than have landed": max(-share.missing, 0),
        "rows without an account": share.unaccounted,
    }
    return {
        "bus_partition": key[0],
        "tenant": key[1],
        "first_offset": share.first_offset,
        "next_offset": share.next_offset,
        "received": share.received,
        "landed": share.landed,
        "duplicates": share.duplicates,
        "dead_lettered": share.dead_lettered,
        "dropped": share.dropped,
        "lost": share.lost,
        "rows": share.rows,
        "gone": max(share.missing, 0) if excused else 0,
        "gap": share.gap,
        "unexplained": sum(wrong.values()),
        "problem": ", ".join(f"{count} {what}" for what, count in wrong.items() if count),
    }
