"""Rollups in an erasure of metrics: windows with the subject's points -> computed again from the remaining points.

If the query tests a field that varies within a series (value, timestamp, producer), the windows of all series of the
tenant are computed again, on the days where the lake or the archive had points of the subject.
"""

from __future__ import annotations

import datetime as dt

from contracts.failpoints import failpoint, reach
from contracts.messages import Kind
from contracts.query import All, And, Node, Not, Or
from lakehouse.delta.schemas import ROLLUPS
from lakehouse.lake.erasure_requests import Request
from lakehouse.sql.literals import text_literal
from lakehouse.sql.query import where_sql
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.erasure.rows import ARCHIVE, LAKE
from lakehouse.upkeep.erasure.state import ErasureState
from lakehouse.upkeep.pinned import pinned_rows
from lakehouse.upkeep.rollups import rollups

RESTATED = failpoint("erase.rollup_restated", "a day of a rollup table is without the subject's points")
_WITHIN_SERIES = {"value", "timestamp", "producer"}


def restate(care: Care, request: Request, state: ErasureState) -> None:
    """Compute the windows again. Idempotent.

    Raises:
        StoreError: Not all windows could be computed; the same call may be repeated.
    """
    node = request.where.get(Kind.METRICS)
    if node is None:
        return
    of_series = not fields(node) & _WITHIN_SERIES
    where = f"tenant = {text_literal(request.tenant)}"
    if of_series:
        where = f"{where} AND {where_sql(node, Kind.METRICS).upper}"  # counting a window anew does no harm
    places = (f"{tier}/{Kind.METRICS.value}" for tier in (LAKE, ARCHIVE))
    touched = {dt.date.fromisoformat(day) for place in places for day in state.days.get(place, [])}
    rollups.fence(care)  # else a run that read the points before their removal would bring them back
    for name in ROLLUPS:
        table = care.table(name)
        days = {row["day"] for row in pinned_rows(table, f"SELECT DISTINCT day FROM {name} WHERE {where}")}
        if not of_series:
            days &= touched
        for day in sorted(days):
            state.restated(name, day)
            state.save(care.settings)
            rollups.restate(care, name, day, where)
            reach(RESTATED)


def fields(node: Node) -> set[str]:
    """The fields that a query tests."""
    match node:
        case All():
            return set()
        case And(nodes) | Or(nodes):
            return {field for inner in nodes for field in fields(inner)}
        case Not(inner):
            return fields(inner)
    return {node.field}
