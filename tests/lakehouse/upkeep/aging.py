"""Records of many days in hot store and lake under a clock of their own, and what readers find of them.

    python -m tests.lakehouse.upkeep.aging FOLDER DAY

applies `POLICY` as on that day (a number), so that a test can kill it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from contracts.hot import HotWriter
from contracts.messages import Kind
from contracts.query import All, RecordQuery
from contracts.records import LogRow, MetricRow
from contracts.tenants import Tenant
from lakehouse.delta.notes import RETENTION, gone
from lakehouse.lake.archive import MOVES
from lakehouse.lake.writer import LakeWriter
from lakehouse.upkeep.archive.holdings import lake_days
from lakehouse.upkeep.archive.moves import archive_table
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.pinned import PinnedRows
from lakehouse.upkeep.policy.policy import Policy, Rule
from lakehouse.upkeep.quality import results as quality
from lakehouse.upkeep.retention.apply import Applied, Plan, apply, plan
from tests.lakehouse.lake_samples import ACME, DAY_NS, NOON_NS, OTHER, batch, log, metric
from tests.settings import settings

FIRST = dt.date(2026, 3, 4)
LOGS = frozenset({Kind.LOGS})
POLICY = Policy(
    hot_days=3,
    archive_after_days=6,
    keep_days=15,
    rules=(
        Rule(2, LOGS, frozenset({ACME}), severities=range(1, 9), line=1),
        Rule(9, LOGS, frozenset({OTHER}), line=2),
        Rule(0, LOGS, frozenset({ACME}), frozenset({"audit"}), line=3),
    ),
)
# Of each day: body -> tenant, service, severity.
SHAPES = {
    "debug": (ACME, "api", 5),
    "plain": (ACME, "api", 0),
    "error": (ACME, "web", 17),
    "audit": (ACME, "audit", 9),
    "other": (OTHER, "api", 5),
}


def day(number: int) -> dt.date:
    return FIRST + dt.timedelta(days=number)


def kept(policy: Policy, number: int, today: int) -> set[str]:
    """The bodies of a day that are not over."""
    ages = {body: policy.keep(Kind.LOGS, *shape) for body, shape in SHAPES.items()}
    return {f"{body} {number}" for body, age in ages.items() if age == 0 or today - number <= age}


def pass_checks(care: Care, kind: Kind) -> None:
    """Record of every closed day that a check saw it as it is now, and that it passed."""
    days = {at: held.rows for at, held in lake_days(care.table(kind.value)).items() if at < care.today()}
    seen = quality.checked_rows(care, kind.value, min(days, default=FIRST))
    for at in [at for at, rows in days.items() if seen.get(at) != rows]:
        passed = quality.CheckResult(kind.value, at, "distinct_ids", True, quality.Severity.ERROR, "ids are unique")
        quality.record(care, [passed], {"in_lake": days[at]})


class Aging:
    """Stores below `folder`; `today` is the number of the open day."""

    def __init__(self, folder: Path, policy: Policy = POLICY) -> None:
        self.policy = policy
        self.today = 0
        self.offset = 0
        self.care = Care(settings(data_dir=folder), lambda: NOON_NS + self.today * DAY_NS)

    def arrive(self, hot: bool = True, metrics: bool = True) -> None:
        """One log of each shape, and a metric, on the open day."""
        for tenant in (ACME, OTHER):
            rows = [
                log(index, f"{body} {self.today}", service=service, severity_number=severity)
                for index, (body, (whose, service, severity)) in enumerate(SHAPES.items())
                if whose == tenant
            ]
            self._store(Kind.LOGS, rows, tenant, hot)
        if metrics:
            self._store(Kind.METRICS, [metric(0, 1.0)], ACME, hot)

    def _store(self, kind: Kind, rows: Iterable[LogRow | MetricRow], tenant: Tenant, hot: bool) -> None:
        item = batch(*rows, offset=self.offset, kind=kind, tenant=tenant, received_ns=self.care.now_ns())
        self.offset += 1
        writers: list[HotWriter | LakeWriter] = [self.care.hot.writer(kind)] if hot else []
        for writer in (*writers, self.care.lake.writer(kind)):
            writer.append([item])
            writer.commit()
            writer.close()

    def closed(self, through: int | None = None) -> Mapping[Kind, dt.date]:
        return dict.fromkeys(Kind, day(self.today - 1 if through is None else through))

    def plan(self, through: int | None = None) -> Plan:
        return plan(self.care, self.policy, self.closed(through))

    def check(self) -> None:
        for kind in (Kind.LOGS, Kind.METRICS):
            pass_checks(self.care, kind)

    def apply(self) -> Applied:
        """With every closed day checked, as it is an hour after rows came or went."""
        self.check()
        return apply(self.care, self.plan())

    def hot(self) -> Counter[str]:
        """Bodies of the logs that the hot store answers with."""
        days = self.care.hot.days(Kind.LOGS)
        query = RecordQuery(Kind.LOGS, All(), None, None, 100_000)
        found = [record for tenant in (ACME, OTHER) for record in self.care.hot.search(tenant, query, days)]
        return Counter(str(record.fields["body"]) for record in found)

    def lake(self) -> Counter[str]:
        rows = PinnedRows(self.care.table("logs")).rows("SELECT body FROM logs")
        return Counter(row["body"] for row in rows)

    def archive(self) -> Counter[str]:
        moves = self.care.table("logs").noted(MOVES)
        if moves is None:
            return Counter()
        rows = PinnedRows(archive_table(self.care, Kind.LOGS)).rows(f"SELECT body FROM logs WHERE move <= {moves:d}")
        return Counter(row["body"] for row in rows)

    def counted(self) -> int:
        """Logs that retention has taken, as lake and archive have noted."""
        tables = [self.care.table("logs")]
        if tables[0].noted(MOVES) is not None:
            tables.append(archive_table(self.care, Kind.LOGS))
        found = [gone(table, [ACME, OTHER]) for table in tables]
        return sum(counts.get(RETENTION, 0) for by_tenant in found for counts in by_tenant.values())


if __name__ == "__main__":
    aging = Aging(Path(sys.argv[1]))
    aging.today = int(sys.argv[2])
    with contextlib.closing(aging.care):
        aging.apply()
