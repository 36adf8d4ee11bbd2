"""When a disk would be full, if the coming days are like the last ones."""

from __future__ import annotations

import datetime as dt

from contracts.messages import Kind
from contracts.query import Tier
from lakehouse.upkeep.policy.policy import Policy
from lakehouse.upkeep.retention.forecast import Disk, TableKey, full_on, growth

TODAY = dt.date(2026, 3, 4)
EVERYWHERE = frozenset(Tier)
LAKE: TableKey = (Tier.LAKE, Kind.LOGS)
HOT: TableKey = (Tier.HOT, Kind.LOGS)
ARCHIVE: TableKey = (Tier.ARCHIVE, Kind.LOGS)


def past(days: int, size: int = 10) -> dict[dt.date, int]:
    """Whole days of `size` bytes each, and an open one of which little is there yet."""
    return {TODAY - dt.timedelta(days=back): size if back else 1 for back in range(days, -1, -1)}


def after(days: int) -> dt.date:
    return TODAY + dt.timedelta(days=days)


def test_growth_is_the_mean_of_the_last_seven_whole_days() -> None:
    assert growth(past(3) | {after(-30): 1000}, TODAY) == (3 * 10 + 1000) // 4
    assert growth(past(9) | {after(-30): 1000}, TODAY) == 10
    assert growth({TODAY: 99}, TODAY) is None


def test_what_is_kept_for_ever_fills_the_disk_at_its_pace() -> None:
    policy = Policy(archive_after_days=0)
    assert full_on({LAKE: past(5)}, policy, TODAY, Disk(EVERYWHERE, 95)) == after(10)


def test_tables_that_no_rule_touches_only_grow() -> None:
    held = {LAKE: past(5), (Tier.LAKE, "metrics_1m"): past(9, 7), (Tier.LAKE, "ledger"): past(9, 3)}
    policy = Policy(archive_after_days=0, keep_days=5)  # six days of logs: 9 more than now
    assert full_on(held, policy, TODAY, Disk(EVERYWHERE, 9 + 95)) == after(10)
    assert full_on(held, policy, TODAY, Disk(frozenset({Tier.HOT, Tier.ARCHIVE}), 9 + 95)) is None


def test_what_goes_as_fast_as_it_comes_never_fills_it() -> None:
    policy = Policy(archive_after_days=0, keep_days=5)
    assert full_on({LAKE: past(9)}, policy, TODAY, Disk(EVERYWHERE, 30)) is None
    assert full_on({LAKE: past(2)}, policy, TODAY, Disk(EVERYWHERE, 29)) == after(3)  # it is still filling up


def test_a_disk_is_filled_by_the_tiers_on_it_alone() -> None:
    held = {LAKE: past(40), HOT: past(40, 1000)}
    assert full_on(held, Policy(), TODAY, Disk(frozenset({Tier.HOT}), 10)) is None  # 7 days of it, as now
    assert full_on(held, Policy(), TODAY, Disk(frozenset({Tier.ARCHIVE}), 199)) is not None


def test_the_archive_grows_by_what_leaves_the_lake_as_small_as_it_is_there() -> None:
    held = {LAKE: past(30), ARCHIVE: {after(-40): 5, after(-41): 5}}
    full = full_on(held, Policy(), TODAY, Disk(frozenset({Tier.ARCHIVE}), 100))
    whole = full_on({LAKE: past(30)}, Policy(), TODAY, Disk(frozenset({Tier.ARCHIVE}), 100))
    assert whole is not None
    assert full is not None
    assert whole < full
