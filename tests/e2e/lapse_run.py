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

from contracts.messages import Kind
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
QUIET = {"DAGSTER_DISABLE_TELEMETRY": "yes"}


class Lapse:
    """`care` runs what Dagster's schedules would: what is due, by the jobs' own assets."""

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

    def care(self) -> None:
        import dagster as dg

        from orchestration import due
        from orchestration.definitions import FILES
        from orchestration.names import compacted, hot, landed, retained
        from orchestration.resources import Upkeep

        today = dt.datetime.fromtimestamp(self.clock() / 1e9, dt.UTC).date()
        self.oracle.end(lambda fact: self.ages.is_over(fact, today))  # from here on it may go
        upkeep, instance = Upkeep(clock_ns=self.clock()), dg.DagsterInstance.ephemeral()
        assets = [asset for file in FILES for asset in file.ASSETS]

        def materialize(keys: list[dg.AssetKey], day: dt.date | None = None) -> None:
            done = dg.materialize(
                assets,
                selection=dg.AssetSelection.assets(*keys),
                partition_key=day.isoformat() if day else None,
                resources={"upkeep": upkeep},
                instance=instance,
            )
            assert done.success
            failed = [each for each in done.get_asset_check_evaluations() if not each.passed]
            self.facts["failed_checks"] += len(failed)
            for each in failed:
                if each.severity is dg.AssetCheckSeverity.ERROR:
                    raise AssertionError(f"{each.check_name} of {each.asset_key} failed: {each.metadata}")

        materialize([landed(name) for name in ("metrics_1m", "metrics_1h")])
        with upkeep.care() as care, upkeep.bus() as bus:
            days = due.turned(due.to_compact(care, bus))
        for day, names in sorted(days.items()):
            materialize([compacted(name) for name in names], day)
            self.facts["compacted"] += len(names)
        materialize([retained(kind.value) for kind in KINDS])
        with upkeep.care() as care, upkeep.bus() as bus:
            healed = due.turned(due.to_rebuild(care, bus))
        for day, names in sorted(healed.items()):
            materialize([hot(name) for name in names], day)
            self.facts["healed"] += len(names)

    def check(self) -> None:
        """Totals of all tiers are the oracle's, and every account is even."""
        with opened(self.world.settings) as search:
            for kind in KINDS:
                for tenant in TENANTS:
                    found = marks(search, kind, tenant)
                    wanted = Counter(f.mark for f in self.oracle.must if f.kind is kind and f.tenant == tenant)
                    assert found == wanted, (kind, tenant, found - wanted, wanted - found)
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
    if lapse.world.settings.lake_url:  # its answers cost this process more than those of a folder
        reader.pause_s = 0.5
    for number in range(days):
        day = FIRST + dt.timedelta(days=number)
        made = records_of(day, RECORDS, seed=7)
        morning = [each for each in made if each[2] < Clock.start_of(day) + MORNING_NS]
        lapse.clock.ns = Clock.start_of(day) + MORNING_NS
        lapse.land(morning)
        if number == 0:
            reader.start()
        lapse.care()
        lapse.land(made[len(morning) :])
        lapse.check()
        assert not reader.wrong, reader.wrong
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
