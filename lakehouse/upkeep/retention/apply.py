"""Retention: a plan -> days and rows removed from hot store, lake and archive, or moved to the archive.

At every instant a reader sees each kept record exactly once: a day leaves the hot store while the lake has it, rows
leave a table in one commit that counts them, and one commit switches readers to the archive. Every step may be
repeated; the next run completes a run that was killed.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deltalake.exceptions import CommitFailedError

from contracts.errors import StoreError
from contracts.failpoints import failpoint, reach
from contracts.messages import Kind
from contracts.query import Tier
from lakehouse.delta.notes import RETENTION
from lakehouse.delta.removal import remove
from lakehouse.lake.archive import finished_moves, visible_sql
from lakehouse.upkeep.archive.moves import CLAIM, archive_day, archive_table, day_sql, remove_leftovers
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.rebuild.hot_day import rebuild_hot
from lakehouse.upkeep.retention.plan import Action, Plan, Step, plan
from lakehouse.upkeep.rollups.rollups import is_covered, roll_up

__all__ = ["Action", "Applied", "Done", "Plan", "Step", "apply", "plan"]

HOT_DROPPED = failpoint("retention.hot_dropped", "a day has left the hot store; lake and archive are unchanged")
DELETED = failpoint("retention.deleted", "rows have left a table and are counted; a hot day is not rebuilt yet")
REBUILT = failpoint("retention.rebuilt", "a hot day is rebuilt without the deleted rows")
MOVED = failpoint("retention.moved", "a day is in the archive")

log = logging.getLogger("headwater.tiers")


@dataclass(frozen=True, slots=True)
class Done:
    """A completed step. `rows`: number of rows that were dropped, deleted, built or moved."""

    step: Step
    rows: int
    took_s: float


@dataclass(frozen=True, slots=True)
class Applied:
    """Result of a run. `skipped`: steps whose day is open again, because the clock jumped back after planning."""

    done: Sequence[Done]
    skipped: Sequence[Step]

    def rows(self, action: Action) -> int:
        return sum(done.rows for done in self.done if done.step.action is action)


def apply(care: Care, planned: Plan, say: Callable[[Done], object] | None = None) -> Applied:
    """Run the steps in order and call `say` after each. Idempotent.

    Raises:
        StoreError: A step failed; the earlier steps are done. A new plan continues with the rest.
    """
    done: list[Done] = []
    skipped: list[Step] = []
    for step in planned.steps:
        if step.day >= care.today():  # the clock has jumped back since
            skipped.append(step)
            continue
        started_s = time.perf_counter()
        rows = _TAKE[step.action](care, step)
        done.append(Done(step, rows, time.perf_counter() - started_s))
        if say is not None:
            say(done[-1])
    for kind in {each.step.kind for each in done if (each.step.action, each.step.tier) == (Action.DELETE, Tier.LAKE)}:
        _clear_leftovers(care, kind)
    for tier, kind in {(each.tier, each.kind): None for each in planned.searched}:
        table = care.table(kind.value) if tier is Tier.LAKE else archive_table(care, kind)
        with contextlib.suppress(CommitFailedError):  # another run noted the same days
            table.note({each.note: each.number for each in planned.searched if (each.tier, each.kind) == (tier, kind)})
    return Applied(done, skipped)


def _clear_leftovers(care: Care, kind: Kind) -> None:
    """Remove deleted rows also from the copy that a killed move left in the archive."""
    if care.table(kind.value).noted(CLAIM) is None:
        return
    try:
        remove_leftovers(care, kind)
    except StoreError as error:  # the archive is away, or a running move removes the copies itself
        log.warning("copies of unfinished moves of %s stay in the archive until the next run: %s", kind, error)


def _drop(care: Care, step: Step) -> int:
    care.hot.drop_day(step.kind, step.day)
    reach(HOT_DROPPED)
    return step.rows


def _delete(care: Care, step: Step) -> int:
    where = [day_sql(step.day), *([step.where] if step.where else [])]
    table = care.table(step.kind.value)
    if step.kind is Kind.METRICS and not is_covered(care, step.day):  # rollups outlive the points, so they come first
        roll_up(care)
    if step.tier is Tier.ARCHIVE:  # rows of an unfinished move do not count as deleted
        where.append(visible_sql(finished_moves(table)))
        table = archive_table(care, step.kind)
    removed = remove(table, " AND ".join(where), RETENTION)
    reach(DELETED)
    return sum(removed.values())


def _rebuild(care: Care, step: Step) -> int:
    rebuilt = rebuild_hot(care, step.kind, step.day)
    reach(REBUILT)
    return rebuilt.rows


def _move(care: Care, step: Step) -> int:
    moved = archive_day(care, step.kind, step.day)
    reach(MOVED)
    return moved.rows


_TAKE: dict[Action, Callable[[Care, Step], int]] = {
    Action.DROP: _drop,
    Action.DELETE: _delete,
    Action.REBUILD: _rebuild,
    Action.MOVE: _move,
}
