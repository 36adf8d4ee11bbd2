"""Retention policy: ages and rules -> the records that are due at an age, as SQL and in words.

A record is kept for `keep_days` of the most specific rule that matches the record, else for the default. Rule A is more
specific than rule B if B matches every record that A matches, and A does not match every record of B. If two rules may
match one record and have different ages, one must be more specific; `conflicts` finds the pairs that break this.

Ages are whole days since the UTC day of arrival: a record kept 7 days leaves when its day ended 7 days ago.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from contracts.messages import Kind
from lakehouse.sql.literals import text_literal

FOREVER = 0
GIB = 1 << 30
TRUE, FALSE = "TRUE", "FALSE"
# First severity number of each level, by the OpenTelemetry log model. Number 0 (no severity) belongs to no level.
LEVELS = {"trace": 1, "debug": 5, "info": 9, "warn": 13, "error": 17, "fatal": 21}
END_OF_LEVELS = 25

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rule:
    """An age for the records of `kinds` that meet all conditions; None is no condition.

    Attributes:
        keep_days: 0 is for ever.
        severities: Severity numbers; for logs only.
        line: First line of the rule in its file.
    """

    keep_days: int
    kinds: Set[Kind] = frozenset(Kind)
    tenants: Set[str] | None = None
    services: Set[str] | None = None
    severities: range | None = None
    line: int = 0

    def matches(self, kind: Kind, tenant: str, service: str, severity: int) -> bool:
        return (
            kind in self.kinds
            and (self.tenants is None or tenant in self.tenants)
            and (self.services is None or service in self.services)
            and (self.severities is None or severity in self.severities)
        )

    def within(self, other: Rule) -> bool:
        """True if `other` matches every record that this rule can match."""
        return (
            self.kinds <= other.kinds
            and _within(self.tenants, other.tenants)
            and _within(self.services, other.services)
            and (other.severities is None or _range_within(self.severities, other.severities))
        )

    def overlaps(self, other: Rule) -> bool:
        """True if one record can match both rules."""
        return (
            bool(self.kinds & other.kinds)
            and _meet(self.tenants, other.tenants)
            and _meet(self.services, other.services)
            and (self.severities is None or other.severities is None or _ranges_meet(self.severities, other.severities))
        )

    def sql(self) -> str:
        """The conditions, without the kind, as a predicate on the kind's table."""
        parts = [f"{column} IN ({_listed(values)})" for column, values in self._texts() if values is not None]
        if (levels := self.severities) is not None:
            parts += [f"severity_number >= {levels.start:d}", f"severity_number < {levels.stop:d}"]
        return f"({' AND '.join(parts)})" if parts else TRUE

    def words(self) -> str:
        parts = [] if self.kinds == frozenset(Kind) else ["/".join(sorted(self.kinds))]
        parts += [f"{column} {'/'.join(sorted(values))}" for column, values in self._texts() if values is not None]
        if (levels := self.severities) is not None:
            parts.append(f"severity {levels.start}-{levels.stop - 1}")
        return ", ".join(parts) or "everything"

    def _texts(self) -> Sequence[tuple[str, Set[str] | None]]:
        return ("tenant", self.tenants), ("service", self.services)


def _within(inner: Set[T] | None, outer: Set[T] | None) -> bool:
    return outer is None or (inner is not None and inner <= outer)


def _meet(one: Set[T] | None, other: Set[T] | None) -> bool:
    return one is None or other is None or bool(one & other)


def _range_within(inner: range | None, outer: range) -> bool:
    return inner is not None and outer.start <= inner.start and inner.stop <= outer.stop


def _ranges_meet(one: range, other: range) -> bool:
    return max(one.start, other.start) < min(one.stop, other.stop)


def _listed(values: Set[str]) -> str:
    return ", ".join(text_literal(value) for value in sorted(values))


@dataclass(frozen=True)
class Policy:
    """Ages and sizes at which records leave the tiers. 0 means no limit.

    Attributes:
        hot_days: Older days leave the hot store; the lake answers for them.
        rebuilt_days: Days that an older day stays in the hot store after its rebuild.
        archive_after_days: Older days move from the lake to the archive.
        keep_days: Older records are deleted, unless a rule says otherwise.
        hot_max_bytes: Above this size the oldest days leave the hot store.
        lake_max_bytes: Above this size the oldest days move to the archive, or are deleted if nothing is archived.
        archive_max_bytes: Above this size the oldest days are deleted.
        source: Path of the file; "" for the default policy.
    """

    hot_days: int = 7
    rebuilt_days: int = 2
    archive_after_days: int = 30
    keep_days: int = FOREVER
    hot_max_bytes: int = 0
    lake_max_bytes: int = 0
    archive_max_bytes: int = 0
    rules: tuple[Rule, ...] = ()
    source: str = ""

    @cached_property
    def _ordered(self) -> Sequence[Rule]:
        """The rules, the most specific first: a rule comes before all rules that it lies within."""
        return sorted(self.rules, key=lambda rule: -sum(_narrower(rule, other) for other in self.rules))

    def of(self, kind: Kind) -> Iterator[Rule]:
        """The rules that may match records of `kind`, the most specific first."""
        return (rule for rule in self._ordered if kind in rule.kinds)

    def keep(self, kind: Kind, tenant: str, service: str, severity: int) -> int:
        """Number of days that the record is kept; 0 is for ever."""
        found = (rule for rule in self._ordered if rule.matches(kind, tenant, service, severity))
        return next((rule.keep_days for rule in found), self.keep_days)

    def due(self, kind: Kind, age_days: int) -> str:
        """Predicate for records of `kind` that are past their age after `age_days`; TRUE: all, FALSE: none."""
        expression = TRUE if _over(self.keep_days, age_days) else FALSE
        for rule in reversed(list(self.of(kind))):
            expression = _chosen(rule.sql(), _over(rule.keep_days, age_days), expression)
        return expression

    def reasons(self, kind: Kind, age_days: int) -> Sequence[str]:
        """The reasons why records of that age are due, in words."""
        told = [
            f"kept {rule.keep_days} days by line {rule.line} ({rule.words()})"
            for rule in self.of(kind)
            if _over(rule.keep_days, age_days)
        ]
        return [*told, f"kept {self.keep_days} days by default"] if _over(self.keep_days, age_days) else told

    def ages(self, kind: Kind) -> Sequence[int]:
        """All ages in days after which records of `kind` may be due in a tier, ascending."""
        hot = () if kind is Kind.DEAD_LETTERS else (self.hot_days,)
        kept = (self.archive_after_days, self.keep_days, *(rule.keep_days for rule in self.of(kind)))
        return sorted({*hot, *(age for age in kept if age)})


def _over(days: int, age_days: int) -> bool:
    return days != FOREVER and age_days > days


def _narrower(rule: Rule, other: Rule) -> bool:
    return rule.within(other) and not other.within(rule)


def _chosen(where: str, due: bool, otherwise: str) -> str:
    """`due` for rows that match `where`, else `otherwise`; kept short, as the engine prunes files by the predicate."""
    if where == TRUE:
        return TRUE if due else FALSE
    if due:
        return {TRUE: TRUE, FALSE: where}.get(otherwise, f"({where} OR {otherwise})")
    return {TRUE: f"(NOT {where})", FALSE: FALSE}.get(otherwise, f"(NOT {where} AND {otherwise})")


def conflicts(rules: Sequence[Rule]) -> Iterator[tuple[Rule, Rule]]:
    """Pairs of rules that may match one record and differ in age while neither rule is more specific."""
    for index, rule in enumerate(rules):
        for other in rules[:index]:
            meets = rule.keep_days != other.keep_days and rule.overlaps(other)  # rarely true, and the cheaper test
            if meets and not (_narrower(rule, other) or _narrower(other, rule)):
                yield other, rule
