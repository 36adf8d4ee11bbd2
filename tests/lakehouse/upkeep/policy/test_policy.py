"""Rules of retention: which age a record has, and that SQL says the same."""

from __future__ import annotations

import itertools

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.messages import Kind
from lakehouse.upkeep.policy.policy import FALSE, TRUE, Policy, Rule, conflicts

TENANTS, SERVICES, SEVERITIES = ("a", "b"), ("x", "it's"), (0, 1, 8, 9, 16, 17, 24)
RECORDS = list(itertools.product(TENANTS, SERVICES, SEVERITIES))
SERVED = frozenset(Kind) - {Kind.DEAD_LETTERS}


def a_set(values: tuple[str, ...]) -> st.SearchStrategy[frozenset[str] | None]:
    return st.none() | st.frozensets(st.sampled_from(values), min_size=1)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    services = draw(a_set(SERVICES))
    severities = draw(st.none() | st.sampled_from([range(1, 9), range(1, 17), range(9, 17), range(17, 25)]))
    able = frozenset({Kind.LOGS}) if severities else SERVED if services else frozenset(Kind)
    kinds = draw(st.sampled_from([able, able & {Kind.LOGS}]))
    return Rule(draw(st.sampled_from([0, 1, 5, 9])), kinds, draw(a_set(TENANTS)), services, severities)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    kept: list[Rule] = []
    for rule in draw(st.lists(rules(), max_size=6)):
        if not list(conflicts([*kept, rule])):
            kept.append(rule)
    return Policy(keep_days=draw(st.sampled_from([0, 1, 5, 9])), rules=tuple(draw(st.permutations(kept))))


def most_specific(policy: Policy, record: tuple[str, str, int]) -> set[int]:
    """The ages that the most specific of the matching rules give, by looking at every pair."""
    matching = [rule for rule in policy.rules if rule.matches(Kind.LOGS, *record)]
    return {
        rule.keep_days
        for rule in matching
        if not any(other.within(rule) and not rule.within(other) for other in matching)
    } or {policy.keep_days}


@settings(deadline=None, max_examples=60)
@given(policies())
def test_a_record_has_the_one_age_of_the_most_specific_rule(policy: Policy) -> None:
    for record in RECORDS:
        assert most_specific(policy, record) == {policy.keep(Kind.LOGS, *record)}


@settings(deadline=None, max_examples=60)
@given(policies(), st.sampled_from([0, 1, 2, 5, 6, 9, 10]))
def test_the_predicate_selects_what_is_past_its_age_and_nothing_else(policy: Policy, age: int) -> None:
    due = policy.due(Kind.LOGS, age)
    found = duckdb.execute(
        f"SELECT tenant, service, severity_number FROM (VALUES {', '.join(map(row, RECORDS))})"
        f" AS t(tenant, service, severity_number) WHERE {due}"
    ).fetchall()
    expected = {record for record in RECORDS if 0 < policy.keep(Kind.LOGS, *record) < age}
    assert set(found) == expected
    assert (due == TRUE) <= (len(expected) == len(RECORDS))
    assert (due == FALSE) <= (not expected)
    assert bool(policy.reasons(Kind.LOGS, age)) >= bool(expected)


def row(record: tuple[str, str, int]) -> str:
    tenant, service, severity = record
    doubled = service.replace("'", "''")
    return f"('{tenant}', '{doubled}', {severity})"


@settings(deadline=None, max_examples=60)
@given(st.lists(rules(), min_size=2, max_size=2))
def test_two_rules_conflict_when_some_record_has_two_ages_and_neither_lies_within_the_other(pair: list[Rule]) -> None:
    one, other = pair
    both = [
        (kind, record)
        for kind in Kind
        for record in itertools.product((*TENANTS, "c"), (*SERVICES, "y"), range(25))
        if one.matches(kind, *record) and other.matches(kind, *record)
    ]
    assert one.overlaps(other) == bool(both)
    ranked = one.within(other) != other.within(one)
    assert bool(list(conflicts(pair))) == (bool(both) and one.keep_days != other.keep_days and not ranked)


def test_a_record_without_a_severity_is_below_none() -> None:
    policy = Policy(rules=(Rule(1, frozenset({Kind.LOGS}), severities=range(1, 9)),))
    assert policy.keep(Kind.LOGS, "a", "x", 0) == 0
    assert policy.due(Kind.LOGS, 2) == "(severity_number >= 1 AND severity_number < 9)"


@pytest.mark.parametrize(("age", "due"), [(7, FALSE), (8, TRUE)])
def test_what_is_kept_seven_days_leaves_when_its_day_ended_seven_days_ago(age: int, due: str) -> None:
    assert Policy(keep_days=7).due(Kind.METRICS, age) == due


def test_what_one_rule_keeps_for_ever_outlives_a_default_age() -> None:
    policy = Policy(keep_days=5, rules=(Rule(0, services=frozenset({"audit"}), kinds=SERVED),))
    assert policy.due(Kind.LOGS, 1000) == "(NOT (service IN ('audit')))"
    assert policy.due(Kind.DEAD_LETTERS, 6) == TRUE
