"""Days that pass in seconds: seeded records on a clock of our own, an oracle of what must be visible, a reader beside.

The oracle knows the retention policy by its own few lines, not by the code that applies it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from contracts.messages import BatchHeader, Kind, Message, to_headers
from contracts.query import All, RecordQuery
from contracts.settings import Settings
from contracts.tenants import Tenant, tenant_named
from lakehouse import open_hot, open_lake
from lakehouse.read.search import Search

FIRST = dt.date(2026, 1, 1)
DAY_NS = 86_400 * 10**9
TENANTS = (tenant_named("acme"), tenant_named("globex"))
KINDS = (Kind.LOGS, Kind.METRICS, Kind.EVENTS)
PAUSE_S = 0.8
ALL_TIERS = ("hot", "lake", "archive")
_SEVERITIES = ("DEBUG", "INFO", "WARN", "ERROR")


@dataclass(frozen=True, slots=True)
class Fact:
    """What the oracle knows of one record. `mark`: unique, and visible in its body, name or attributes."""

    mark: str
    kind: Kind
    tenant: Tenant
    day: dt.date
    severity: str


Made = tuple[Fact, bytes, int]  # what the oracle knows, the NDJSON line, when it arrives


class Clock:
    """Unix nanoseconds, as told."""

    def __init__(self, day: dt.date = FIRST) -> None:
        self.ns = self.start_of(day)

    @staticmethod
    def start_of(day: dt.date) -> int:
        return int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()) * 10**9

    def __call__(self) -> int:
        return self.ns


@dataclass
class Oracle:
    """Thread-safe by replacement. `must`: visible exactly once; `may`: ever sent."""

    must: frozenset[Fact] = frozenset()
    may: frozenset[Fact] = frozenset()

    def send(self, facts: Iterable[Fact]) -> None:
        self.may |= frozenset(facts)

    # `must` is replaced, never changed: a reader sees one state or the next.
    def landed(self, facts: Iterable[Fact]) -> None:
        self.must |= frozenset(facts)

    def end(self, ended: Callable[[Fact], bool]) -> None:
        self.must = frozenset(fact for fact in self.must if not ended(fact))


def records_of(day: dt.date, count: int, seed: int) -> list[Made]:
    """Seeded records in the order of their arrival; some say an earlier time of their own."""
    rng = random.Random(f"{seed}/{day}")
    start = Clock.start_of(day)
    made = []
    for at in range(count):
        arrives = start + at * (DAY_NS - 10**9) // count
        kind = rng.choices(KINDS, (8, 3, 1))[0]
        tenant, severity = rng.choice(TENANTS), rng.choice(_SEVERITIES)
        mark = f"m{day:%m%d}x{at:05d}x{rng.getrandbits(32):08x}"
        said = (arrives - (rng.randrange(3 * DAY_NS) if rng.random() < 0.1 else 0)) // 1000 * 1000
        line: dict[str, object] = {"timestamp": said, "service": rng.choice(("web", "db")), "host": "h1"}
        if kind is Kind.LOGS:
            line |= {"body": f"request {mark} done", "level": severity, "attributes": {"mark": mark}}
        elif kind is Kind.METRICS:
            line |= {"name": "load", "value": float(at), "attributes": {"mark": mark}}
        else:
            line |= {"name": "deploy", "body": mark, "attributes": {"mark": mark}}
        made.append((Fact(mark, kind, tenant, day, severity), msgspec.json.encode(line), arrives))
    return made


def messages_of(made: list[Made], sequence: Counter[str]) -> Iterator[tuple[Kind, Message]]:
    """One message for each run of records of one tenant and kind, as a client would send them every two hours."""
    groups: dict[tuple[Kind, Tenant, int], list[tuple[bytes, int]]] = {}
    for fact, line, arrives in made:
        groups.setdefault((fact.kind, fact.tenant, arrives // (DAY_NS // 12)), []).append((line, arrives))
    for (kind, tenant, _), lines in sorted(groups.items(), key=lambda group: group[1][-1][1]):
        producer = f"sender-{tenant}-{kind}"
        header = BatchHeader(
            tenant=tenant,
            kind=kind,
            producer=producer,
            stream="s",
            sequence=sequence[producer],
            count=len(lines),
            span=len(lines),
            received_ns=lines[-1][1],
        )
        sequence[producer] += len(lines)
        yield kind, Message(b"\n".join(line for line, _ in lines), to_headers(header))


def marks(
    search: Search, kind: Kind, tenant: Tenant, start_ns: int | None = None, end_ns: int | None = None
) -> Counter[str]:
    """Every visible record by its mark, from all tiers; fails where a tier did not answer."""
    query = RecordQuery(kind, All(), start_ns, end_ns, 1_000_000, None, True)
    page = search.records(tenant, query, tiers=ALL_TIERS)
    assert not page.partial, page.tiers
    return Counter(str(record.fields["attributes"]["mark"]) for record in page.records)


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Search]:
    """A reader of its own, as another process would be."""
    with (
        contextlib.closing(open_hot(settings.hot, settings)) as hot,
        contextlib.closing(open_lake(settings.lake, settings)) as lake,
    ):
        yield Search(hot, lake, settings)


@dataclass(eq=False)
class Reader(threading.Thread):
    """Asks all the time; `wrong` holds what it saw that must not be."""

    settings: Settings
    oracle: Oracle
    seed: int = 1
    pause_s: float = PAUSE_S
    asked: int = 0
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self._stop_asking = threading.Event()

    def run(self) -> None:
        rng = random.Random(self.seed)
        try:
            with opened(self.settings) as search:
                while not self._stop_asking.is_set() and not self.wrong:
                    self._ask(search, rng.choice(KINDS), rng.choice(TENANTS))
                    self.asked += 1
                    self._stop_asking.wait(self.pause_s)
        except Exception as error:  # told to the test, which fails with it
            self.wrong.append(f"{type(error).__name__}: {error}")

    def _ask(self, search: Search, kind: Kind, tenant: Tenant) -> None:
        must = {fact.mark for fact in self.oracle.must if fact.kind is kind and fact.tenant == tenant}
        found = marks(search, kind, tenant)
        still = {fact.mark for fact in self.oracle.must}
        may = {fact.mark for fact in self.oracle.may if fact.kind is kind and fact.tenant == tenant}
        missing = (must & still) - found.keys()  # what was ended while this query ran may be gone
        doubled = {mark for mark, count in found.items() if count > 1}
        if missing or doubled or found.keys() - may:
            self.wrong.append(f"{kind} of {tenant}: missing {sorted(missing)[:3]}, doubled {sorted(doubled)[:3]}")

    def end(self) -> None:
        self._stop_asking.set()
        self.join(60)
        assert not self.is_alive(), "the reader hangs"
        assert not self.wrong, self.wrong
        assert self.asked, "the reader never had a turn"
