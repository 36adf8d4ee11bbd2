"""Retention plan: policy, clock and holdings of the tiers -> the steps that are due, with rows, bytes and reason.

Planning changes nothing and covers closed days only. The steps are in the order in which
`lakehouse.upkeep.retention.apply` runs them: the hot store first, as the lake then answers for its days; moves last.
"""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from contracts.errors import StoreError
from contracts.hot import HotDay
from contracts.messages import Kind
from contracts.query import Tier
from lakehouse.delta.table import Delta
from lakehouse.sql.literals import day_literal
from lakehouse.upkeep.archive.holdings import HOT_KINDS, Days, Held, archive_days, lake_days
from lakehouse.upkeep.archive.moves import archive_table
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.pinned import PinnedRows
from lakehouse.upkeep.policy.policy import FALSE, TRUE, Policy
from lakehouse.upkeep.quality.results import blocked, hold

DAY_NS = 86_400 * 10**9
ONE_DAY = dt.timedelta(days=1)


class Action(enum.StrEnum):
    """Action of a step, in the order in which steps run: DROP the day from the hot store, DELETE rows, REBUILD the day
    in the hot store without the deleted rows, MOVE the day to the archive."""

    DROP = "drop"
    DELETE = "delete"
    REBUILD = "rebuild"
    MOVE = "move"


@dataclass(frozen=True, slots=True)
class Step:
    """One action on one day.

    Attributes:
        where: Predicate for the rows, beside the day; "" means all rows.
        rows: Number of rows; for a hot day, the day's rows in the lake.
        bytes: Size of the rows; an estimate if only a part of the day is deleted.
    """

    action: Action
    tier: Tier
    kind: Kind
    day: dt.date
    rows: int
    bytes: int
    why: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Searched:
    """A day in which a rule matched no row. `number`: hash of the rule and of the tier's holdings of the day."""

    tier: Tier
    kind: Kind
    day: dt.date
    number: int

    @property
    def note(self) -> str:
        """Name of the app transaction in the searched table."""
        return f"retention:{self.day.isoformat()}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps that are due.

    Attributes:
        steps: In order.
        notes: Reasons why steps are held back.
        today: The open day by the clock of the plan.
        next_day: The next day on which a step becomes due by age alone; None: never.
        searched: Days in which a rule matched no row; `apply` notes them, so the next plan does not read them again.
    """

    steps: Sequence[Step]
    notes: Sequence[str]
    today: dt.date
    next_day: dt.date | None
    searched: Sequence[Searched] = ()

    @property
    def kinds(self) -> set[Kind]:
        """The kinds with a step or a note to write."""
        return {step.kind for step in self.steps} | {each.kind for each in self.searched}

    def of(self, kind: Kind) -> Plan:
        """The part of the plan for one kind."""
        steps = [step for step in self.steps if step.kind is kind]
        return replace(self, steps=steps, searched=[each for each in self.searched if each.kind is kind])


@dataclass
class _Kind:
    """Holdings and steps of one kind while a plan is made."""

    kind: Kind
    warm: Delta
    lake: Days
    archive: Days
    hot: Mapping[dt.date, HotDay]
    dropped: frozenset[dt.date]
    closed: dt.date | None
    steps: list[Step] = field(default_factory=list)
    searched: list[Searched] = field(default_factory=list)
    gone: set[tuple[Tier, dt.date]] = field(default_factory=set)

    def is_closed(self, day: dt.date) -> bool:
        return self.closed is not None and day <= self.closed

    def take(self, step: Step) -> None:
        self.steps.append(step)
        if not step.where and step.action is not Action.REBUILD:
            self.gone.add((step.tier, step.day))

    def left(self, tier: Tier) -> Iterator[tuple[dt.date, int]]:
        """Days of a tier that no step removes whole, with their bytes; oldest first."""
        sizes = {
            Tier.HOT: {day: held.size_bytes for day, held in self.hot.items()},
            Tier.LAKE: {day: held.bytes for day, held in self.lake.items()},
            Tier.ARCHIVE: {day: held.bytes for day, held in self.archive.items()},
        }[tier]
        return ((day, size) for day, size in sorted(sizes.items()) if (tier, day) not in self.gone)


def plan(care: Care, policy: Policy, closed_through: Mapping[Kind, dt.date]) -> Plan:
    """Plan the steps that `policy` makes due now.

    Args:
        closed_through: The last closed day of each kind (`orchestration.due.closing`); a missing kind gets no steps.

    Raises:
        StoreError: A tier cannot be read.
    """
    notes: list[str] = []
    kinds = [_look(care, kind, closed_through.get(kind), notes) for kind in Kind]
    for each in kinds:
        _by_age(care, policy, each, notes)
    _hot_by_size(policy, kinds)
    for each in kinds:
        _rebuilds(care, policy, each)
    _by_size(care, policy, kinds, notes)
    for each in kinds:
        notes += _held_back(care, policy, each)
    order = list(Action)
    found = (step for each in kinds for step in each.steps)
    steps = sorted(found, key=lambda step: (order.index(step.action), step.day))
    searched = [one for each in kinds for one in each.searched]
    return Plan(steps, notes, care.today(), _next_day(care, policy, kinds), searched)


def _look(care: Care, kind: Kind, closed: dt.date | None, notes: list[str]) -> _Kind:
    warm = care.table(kind.value)
    archive: Days = {}
    try:
        archive = archive_days(care, kind, warm)
    except StoreError as error:  # the other tiers are planned all the same, as their disks fill meanwhile
        notes.append(f"{kind.value}: nothing is planned for the archive: {error}")
    held = {each.day: each for each in care.hot.held(kind)} if kind in HOT_KINDS else {}
    dropped = frozenset(care.hot.dropped(kind)) if kind in HOT_KINDS else frozenset[dt.date]()
    return _Kind(kind, warm, lake_days(warm), archive, held, dropped, closed)


def _age(care: Care, day: dt.date) -> int:
    return (care.today() - day).days


def _by_age(care: Care, policy: Policy, each: _Kind, notes: list[str]) -> None:
    for day, held in each.hot.items():
        if each.is_closed(day) and (why := _hot_is_over(care, policy, each.kind, held)):
            each.take(_hot_step(each, day, why))
    archive = archive_table(care, each.kind) if each.archive else None
    for tier, table, days in ((Tier.LAKE, each.warm, each.lake), (Tier.ARCHIVE, archive, each.archive)):
        if table is not None:
            _deletions(care, policy, each, tier, table, days)
    for day, size in list(each.left(Tier.LAKE)):
        if policy.archive_after_days and _age(care, day) > policy.archive_after_days and each.is_closed(day):
            _move(care, each, day, size, f"in the lake for {policy.archive_after_days} days", notes)


def _hot_is_over(care: Care, policy: Policy, kind: Kind, held: HotDay) -> str:
    """The reason why a day leaves the hot store by its age; "" if it stays."""
    age = _age(care, held.day)
    if policy.due(kind, age) == TRUE:
        return policy.reasons(kind, age)[-1]
    kept_ns = policy.rebuilt_days * DAY_NS
    if held.rebuilt_ns is not None and 0 <= care.now_ns() - held.rebuilt_ns < kept_ns:
        return ""
    return f"hot for {policy.hot_days} days" if age > policy.hot_days else ""


def _hot_step(each: _Kind, day: dt.date, why: str) -> Step:
    rows = each.lake.get(day, Held(0, 0, 0)).rows
    return Step(Action.DROP, Tier.HOT, each.kind, day, rows, each.hot[day].size_bytes, why)


def _deletions(care: Care, policy: Policy, each: _Kind, tier: Tier, table: Delta, days: Days) -> None:
    partly: dict[str, list[dt.date]] = {}
    for day, held in days.items():
        age, due = _age(care, day), policy.due(each.kind, _age(care, day))
        if due == FALSE or not each.is_closed(day):
            continue
        if due == TRUE:
            why = "; ".join(policy.reasons(each.kind, age)[-1:]) + _quarantine(care, each.kind, day)
            step = Step(Action.DELETE, tier, each.kind, day, held.rows, held.bytes, why)
            each.take(step)
        else:
            partly.setdefault(due, []).append(day)
    for due, some in partly.items():
        marks = [_searched(tier, each.kind, day, days[day], due) for day in some]
        new = [mark for mark in marks if table.noted(mark.note) != mark.number]
        matching = _matching(table, due, [mark.day for mark in new]) if new else {}
        for day, rows in matching.items():
            _partly(care, policy, each, replace(_partial(tier, each, day, days[day], rows), where=due))
        each.searched += [mark for mark in new if mark.day not in matching]


def _searched(tier: Tier, kind: Kind, day: dt.date, held: Held, due: str) -> Searched:
    told = f"{due}/{held.rows}/{held.files}/{held.bytes}"
    return Searched(tier, kind, day, int.from_bytes(hashlib.blake2b(told.encode(), digest_size=7).digest()))


def _partial(tier: Tier, each: _Kind, day: dt.date, held: Held, rows: int) -> Step:
    size = held.bytes * rows // max(held.rows, 1)
    return Step(Action.DELETE, tier, each.kind, day, rows, size, "")


def _partly(care: Care, policy: Policy, each: _Kind, step: Step) -> None:
    why = "; ".join(policy.reasons(each.kind, _age(care, step.day))) + _quarantine(care, each.kind, step.day)
    if step.day in each.hot and (Tier.HOT, step.day) not in each.gone:
        each.take(_hot_step(each, step.day, f"some records are past their age: {why}"))
    each.take(replace(step, why=why))


def _matching(table: Delta, where: str, days: Sequence[dt.date]) -> Mapping[dt.date, int]:
    """Number of matching rows by day, without days that have none."""
    told = ", ".join(day_literal(day) for day in days)
    rows = PinnedRows(table).rows(
        f"SELECT day, count(*) AS n FROM {table.name} WHERE day IN ({told}) AND {where} GROUP BY day ORDER BY day"
    )
    return {row["day"]: row["n"] for row in rows}


def _quarantine(care: Care, kind: Kind, day: dt.date) -> str:
    failed = blocked(care, kind.value, day)
    return f"; quarantined by {', '.join(failed)}, but past its age" if failed else ""


def _move(care: Care, each: _Kind, day: dt.date, size: int, why: str, notes: list[str]) -> bool:
    rows = each.lake[day].rows
    if reason := hold(care, each.kind.value, day, rows):
        notes += [] if reason in notes else [reason]
        return False
    each.take(Step(Action.MOVE, Tier.LAKE, each.kind, day, rows, size, why))
    return True


def _rebuilds(care: Care, policy: Policy, each: _Kind) -> None:
    """Rebuild the hot days that lose rows by this plan, or lost rows in a run that was killed."""
    again = Counter[dt.date]()
    for step in each.steps:
        if step.action is Action.DELETE and step.where:
            again[step.day] += step.rows
    for day in sorted({*each.lake, *each.archive}):
        age = _age(care, day)
        if age > policy.hot_days or not each.is_closed(day) or policy.due(each.kind, age) in (TRUE, FALSE):
            continue
        if each.kind in HOT_KINDS and (day in again or day in each.dropped) and not policy.hot_max_bytes:
            why = "some records were past their age, the others are not"
            rows = sum(days[day].rows for days in (each.lake, each.archive) if day in days) - again[day]
            each.take(Step(Action.REBUILD, Tier.HOT, each.kind, day, rows, 0, why))


def _hot_by_size(policy: Policy, kinds: Sequence[_Kind]) -> None:
    total = sum(size for each in kinds for _, size in each.left(Tier.HOT))
    for each, day, size in _oldest(kinds, Tier.HOT):
        if not policy.hot_max_bytes or total <= policy.hot_max_bytes:
            return
        total -= size
        each.take(_hot_step(each, day, "the hot store is larger than hot_max_gib"))


def _by_size(care: Care, policy: Policy, kinds: Sequence[_Kind], notes: list[str]) -> None:
    for tier, limit in ((Tier.LAKE, policy.lake_max_bytes), (Tier.ARCHIVE, policy.archive_max_bytes)):
        total = sum(size for each in kinds for _, size in each.left(tier))
        total -= sum(step.bytes for each in kinds for step in each.steps if step.tier is tier and step.where)
        for each, day, size in _oldest(kinds, tier):
            if not limit or total <= limit:
                break
            why = f"the {tier} is larger than {tier}_max_gib"
            if tier is Tier.LAKE and policy.archive_after_days:
                total -= size if _move(care, each, day, size, why, notes) else 0
                continue
            held = (each.lake if tier is Tier.LAKE else each.archive)[day]
            if tier is Tier.LAKE and day in each.hot and (Tier.HOT, day) not in each.gone:
                each.take(_hot_step(each, day, why))
            each.take(Step(Action.DELETE, tier, each.kind, day, held.rows, size, why))
            total -= size


def _oldest(kinds: Sequence[_Kind], tier: Tier) -> Sequence[tuple[_Kind, dt.date, int]]:
    """Closed days of every kind that no step removes so far, the oldest first."""
    days = [(each, day, size) for each in kinds for day, size in each.left(tier) if each.is_closed(day)]
    return sorted(days, key=lambda entry: (entry[1], entry[0].kind))


def _held_back(care: Care, policy: Policy, each: _Kind) -> Iterator[str]:
    """Notes for days that are past their age and not closed: the lake lacks records, or the clock may be wrong."""
    over = [
        day
        for day in each.lake.keys() | each.hot.keys()
        if not each.is_closed(day) and any(_age(care, day) > age for age in policy.ages(each.kind))
    ]
    if over:
        yield (
            f"{each.kind.value}: {len(over)} days from {min(over)} on are past their age and not closed: the lake lacks"
            " accepted records of these days, or nothing has arrived since; see headwater status"
        )


def _next_day(care: Care, policy: Policy, kinds: Sequence[_Kind]) -> dt.date | None:
    coming = (
        day + dt.timedelta(days=age) + ONE_DAY
        for each in kinds
        for day in {*each.lake, *each.archive, *each.hot}
        for age in policy.ages(each.kind)
    )
    return min((day for day in coming if day > care.today()), default=None)
