"""Records of three days in a lake, a reader that asks all tiers all the time, and a process that moves a day.

    python -m tests.lakehouse.upkeep.archiving LAKE ARCHIVE FOLDER SABOTAGE

moves `DAY`; a test kills it at a failpoint. SABOTAGE: "" is none.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from contracts.failpoints import VARIABLE, reach
from contracts.messages import Kind
from contracts.query import All, RecordQuery, Tier
from contracts.settings import Settings
from lakehouse.delta.table import Delta
from lakehouse.read.search import Search
from lakehouse.upkeep.archive import copying
from lakehouse.upkeep.archive import moves as archive
from lakehouse.upkeep.care import Care
from tests import children
from tests.lakehouse.lake_samples import ACME, DAY_NS, NOON_NS, OTHER, batch, log
from tests.settings import settings

DAY = dt.date(2026, 3, 4)
DAYS = tuple(DAY + dt.timedelta(days=number) for number in range(3))
ROWS = 30  # of each day
ALL = frozenset(Tier)
FAILPOINTS = (archive.CLAIMED, archive.CLEARED, archive.COPIED, archive.VERIFIED, archive.SWITCHED)


def care_of(given: Settings) -> Care:
    return Care(given, lambda: NOON_NS + 3 * DAY_NS)


def fill(care: Care, first: int = 0, days: int = len(DAYS)) -> None:
    """`ROWS` logs of two tenants on each day, from bus offset `first` on."""
    writer = care.lake.writer(Kind.LOGS)
    for number in range(days):
        for part, tenant in enumerate((ACME, OTHER)):
            rows = (log(n, f"{first + number}-{part}-{n}", NOON_NS + number * DAY_NS + n) for n in range(ROWS // 2))
            offset = first + 2 * number + part
            writer.append([batch(*rows, offset=offset, tenant=tenant, received_ns=NOON_NS + number * DAY_NS)])
        writer.commit()
    writer.close()


def bodies(search: Search, tiers: frozenset[Tier] = ALL, limit: int = 1000) -> Counter[str]:
    """What both tenants find, by body."""
    found: Counter[str] = Counter()
    for tenant in (ACME, OTHER):
        page = search.records(tenant, RecordQuery(Kind.LOGS, All(), None, None, limit), tiers)
        assert not page.partial, page.tiers
        found.update(str(record.fields["body"]) for record in page.records)
    return found


def stored(care: Care) -> Mapping[str, int]:
    """Of the ledger, by tenant: what is stored and what was removed from it."""
    totals = care.lake.ledger(None)
    return {total.tenant: total.stored + sum(total.dropped.values()) for total in totals if total.kind is Kind.LOGS}


class Reader(threading.Thread):
    """Asks from the first on; `wrong` says what it saw that must not be."""

    def __init__(self, given: Settings, expected: int) -> None:
        super().__init__(daemon=True)
        self._settings, self._expected = given, expected
        self.wrong: list[str] = []
        self.asked = 0
        self._enough = threading.Event()

    def run(self) -> None:
        with contextlib.closing(care_of(self._settings)) as care:
            search = Search(None, care.lake, self._settings)
            while not self._enough.is_set():
                found = bodies(search)
                if len(found) != self._expected or set(found.values()) != {1}:
                    self.wrong.append(f"{len(found)} records, {sum(found.values())} times")
                if (total := sum(stored(care).values())) != self._expected:
                    self.wrong.append(f"the account counts {total}")
                self.asked += 1
                self._enough.wait(0.05)

    def __enter__(self) -> Reader:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self.join(60)


def child(given: Settings, failpoint: str = "", sabotage: str = "") -> int:
    """Move `DAY` in a process of its own; its exit code."""
    environment = {**os.environ, VARIABLE: failpoint, "HEADWATER_S3_ENDPOINT": given.s3_endpoint}
    for name in ("access", "secret"):
        key = getattr(given, f"s3_{name}_key").get_secret_value()
        environment[f"HEADWATER_S3_{name.upper()}_KEY"] = key
    words = (given.lake, given.archive, given.data, sabotage)
    done = children.run("tests.lakehouse.upkeep.archiving", *words, env=environment)
    print(done.stderr, end="", file=sys.stderr)
    return done.returncode


def delete_first() -> None:
    """The lake gives the day up before there is a copy."""
    module: Any = archive
    copy = module._copy

    def late(care: Care, warm: Any, target: Any, day: dt.date, move: int, claim: int) -> Any:
        source = Delta(warm._url.rpartition("/")[0], warm.name, warm._options)
        module._switch(warm, day, move, claim)
        reach(archive.COPIED)
        return copy(care, source, target, day, move, claim)

    module._copy = late


def verify_nothing() -> None:
    """Half of the rows are copied, and nobody looks."""
    module: Any = copying
    read = module._read
    module._read = lambda table, where, columns: read(table, f"{where} AND bus_index % 2 = 0", columns)
    module = archive
    module._verify = lambda *_: None


SABOTAGES: dict[str, Callable[[], None]] = {"delete-first": delete_first, "verify-nothing": verify_nothing}


if __name__ == "__main__":
    lake, old, folder, spoiled = sys.argv[1:]
    if spoiled:
        SABOTAGES[spoiled]()
    with contextlib.closing(care_of(settings(lake_url=lake, archive_url=old, data_dir=Path(folder)))) as cared:
        archive.archive_day(cared, Kind.LOGS, DAY)
