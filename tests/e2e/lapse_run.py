"""Days in seconds through the real graph: bus, flows, and the jobs of `orchestration` on a clock of their own.

    python -m tests.e2e.lapse_run DAYS [AGES]

AGES of `AGES` below. Settings come from the environment; `HEADWATER_DATA_DIR` must be new, and where lake and
archive are, nothing. Prints facts as JSON; fails with what went wrong.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg

from contracts.messages import Kind
from lakehouse.delta.schemas import ROLLUPS
from lakehouse.upkeep.compaction.compact import compact_closed
from lakehouse.upkeep.rebuild.hot_day import rebuild_hot
from lakehouse.upkeep.retention.apply import apply
from lakehouse.upkeep.rollups.rollups import roll_up
from orchestration.due import due
from orchestration.names import compacted, hot, landed, retained
from orchestration.resources import Upkeep
from query_api.account import account
from tests.e2e.lapse import (
    FIRST,
    KINDS,
    TENANTS,
    Clock,
    Fact,
    Made,
    Oracle,
    Reader,
    marks,
    messages_of,
    opened,
    records_of,
)
from tests.flows.running import World
from tests.lakehouse.upkeep.aging import pass_checks


class Ages(NamedTuple):
    """Of the policy, in days. Debug logs end at `debug`, events of globex at `globex`, everything at `all`."""

    hot: int
    archive: int
    all: int
    debug: int
    globex: int

    def policy(self) -> str:
        return f"""
[defaults]
hot_days = {self.hot}
archive_after_days = {self.archive}
keep_days = {self.all}

[[rule]]
kind = "logs"
below = "info"
keep_days = {self.debug}

[[rule]]
kind = "events"
tenant = "globex"
keep_days = {self.globex}
"""

    def is_over(self, fact: Fact, today: dt.date) -> bool:
        """The policy above, in words of its own."""
        age = (today - fact.day).days
        if fact.kind is Kind.LOGS and fact.severity == "DEBUG":
            return age > self.debug
        if fact.kind is Kind.EVENTS and fact.tenant == "globex":
            return age > self.globex
        return age > self.all


AGES = {"weeks": Ages(7, 30, 40, 10, 20), "days": Ages(1, 3, 5, 2, 4)}
RECORDS = 96  # of a day: eight messages of each sender at most
MORNING_NS = 3600 * 10**9
RECENT = dt.timedelta(days=12)  # older days were compacted
BY_DAGSTER = 5  # each fifth day
QUIET = {"DAGSTER_DISABLE_TELEMETRY": "yes"}


class Lapse:
    """`care_by_dagster` runs what Dagster's schedules would, by the jobs' own assets; `care` the same by the functions
    that these call; the checks of a day are recorded as passed there."""

    def __init__(self, folder: Path, ages: Ages) -> None:
        self.ages = ages
        self.world = World(folder)
        self.clock = Clock()
        self.oracle = Oracle()
        self.sequence: Counter[str] = Counter()
        self.facts: Counter[str] = Counter()
        (self.world.settings.data).mkdir(parents=True, exist_ok=True)
        (self.world.settings.data / "retention.toml").write_text(ages.policy())
        note = self.world.settings.data / "dagster" / "first_day"
        note.parent.mkdir()
        note.write_text(FIRST.isoformat())

    def land(self, made: list[Made]) -> None:
        facts = [fact for fact, _, _ in made]
        self.oracle.send(facts)
        for kind, message in messages_of(made, self.sequence):
            self.world.append(message, kind=kind)
        self.world.run(*KINDS)
        self.oracle.landed(facts)

    def _end_what_is_over(self) -> dt.date:
        """Today; from here on what is over may go."""
        today = dt.datetime.fromtimestamp(self.clock() / 1e9, dt.UTC).date()
        self.oracle.end(lambda fact: self.ages.is_over(fact, today))
        return today

    def care(self) -> None:
        today = self._end_what_is_over()
        upkeep = Upkeep(clock_ns=self.clock())
        with upkeep.care() as care, upkeep.bus() as bus:
            roll_up(care)
            for name, days in due.to_compact(care, bus).items():
                done = [compact_closed(care, name, day) for day in days if day >= today - RECENT]
                self.facts["compacted"] += sum(each.done for each in done)
            for kind in Kind:
                pass_checks(care, kind)
            apply(care, due.by_policy(care, bus))
            for name, days in due.to_rebuild(care, bus).items():
                self.facts["healed"] += len([rebuild_hot(care, Kind(name), day) for day in days])

    def care_by_dagster(self) -> None:
        today = self._end_what_is_over()
        from orchestration.definitions import FILES  # the partitions that it shows begin at the noted first day

        upkeep, instance = Upkeep(clock_ns=self.clock()), dg.DagsterInstance.ephemeral()
        yesterday = today - dt.timedelta(days=1)

        def materialize(keys: list[dg.AssetKey], day: dt.date | None = None) -> None:
            done = dg.materialize(
                [asset for file in FILES for asset in file.ASSETS],
                selection=dg.AssetSelection.assets(*keys),
                partition_key=day.isoformat() if day else None,
                resources={"upkeep": upkeep},
                instance=instance,
            )
            assert done.success
            failed = [each for each in done.get_asset_check_evaluations() if not each.passed]
            assert not [each for each in failed if each.severity is dg.AssetCheckSeverity.ERROR], failed
            self.facts["warnings"] += len(failed)

        materialize([landed(name) for name in ROLLUPS])
        with upkeep.care() as care, upkeep.bus() as bus:
            names = due.turned(due.to_compact(care, bus)).get(yesterday, [])
        materialize([compacted(name) for name in names], yesterday) if names else None
        self.facts["checked"] += len(names)
        with upkeep.care() as care:  # days that lost rows, which a schedule would check once more
            for kind in Kind:
                pass_checks(care, kind)
        materialize([retained(kind.value) for kind in KINDS])
        with upkeep.care() as care, upkeep.bus() as bus:
            healed = due.turned(due.to_rebuild(care, bus))
        for day, lost in sorted(healed.items()):
            materialize([hot(name) for name in lost], day)
            self.facts["healed"] += len(lost)

    def check(self) -> None:
        """Totals of all tiers are the oracle's."""
        with opened(self.world.settings) as search:
            for kind in KINDS:
                for tenant in TENANTS:
                    found = marks(search, kind, tenant)
                    wanted = Counter(f.mark for f in self.oracle.must if f.kind is kind and f.tenant == tenant)
                    assert found == wanted, (kind, tenant, found - wanted, wanted - found)

    def check_account(self) -> None:
        connections = self.world.connections
        for entry in account(connections.bus, connections.lake, None, connections.hot):
            assert entry.difference == 0, entry

    def held(self) -> dict[str, Any]:
        lake, hot = self.world.connections.lake, self.world.connections.hot
        return {
            "hot": [day.isoformat() for day in hot.days(Kind.LOGS)],
            "lake": {each.kind: each.days for each in lake.tables()},
            "archive": {each.kind: each.days for each in lake.archive_tables()},
        }


def main(days: int, ages: Ages) -> int:
    os.environ |= QUIET
    lapse = Lapse(Path(os.environ["HEADWATER_DATA_DIR"]).parent, ages)
    reader = Reader(lapse.world.settings, lapse.oracle)
    waiting: list[Made] = []
    for number in range(days):
        day = FIRST + dt.timedelta(days=number)
        made = records_of(day, RECORDS, seed=7)
        morning = [each for each in made if each[2] < Clock.start_of(day) + MORNING_NS]
        lapse.clock.ns = Clock.start_of(day) + MORNING_NS
        lapse.land([*waiting, *morning])  # the day before is over, and past it something has arrived
        waiting = made[len(morning) :]
        if number == 0:
            reader.start()
        if number % BY_DAGSTER == 0:
            lapse.care_by_dagster()
            lapse.check_account()
        else:
            lapse.care()
        lapse.check()
        assert not reader.wrong, reader.wrong
    lapse.land(waiting)
    lapse.check()
    lapse.check_account()
    reader.end()
    print(
        json.dumps(
            {
                **lapse.facts,
                **lapse.held(),
                "sent": len(lapse.oracle.may),
                "must": len(lapse.oracle.must),
                "asked": reader.asked,
            }
        )
    )
    with contextlib.suppress(Exception):
        lapse.world.connections.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), AGES[sys.argv[2] if sys.argv[2:] else "weeks"]))
