"""Alerts of the bus: messages that the bus deleted, or may delete, before they landed -> counts, webhook, events.

The offset of its first message identifies a loss, so a loss is one alert, seen before or after a flow has counted it. A
risk is one alert for as long as it lasts. Imports no Dagster.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.messages import Kind
from lakehouse.upkeep.care import Care
from orchestration.due.backlog import AT_RISK, LOST, Risk
from orchestration.failures import alerts
from orchestration.failures.alert_book import Alert, counts_of

if TYPE_CHECKING:
    from orchestration.resources import Upkeep

NAMES = (AT_RISK, LOST)
Seen = dict[str, list[int]]  # by name and partition; the sensor keeps it between two calls
LOOK_BACK = dt.timedelta(days=1)  # covers losses that a flow counted between two calls; no alert is raised twice


def tell_risks(risks: Sequence[Risk], before: Seen, since_ns: int, upkeep: Upkeep) -> Seen:
    """Raise alerts for new risks.

    Args:
        before: Result of the call before.
        since_ns: Time of the call before, so that a repeated call makes the same keys.
    """
    found: Seen = {}
    for risk in risks:
        if risk.name == AT_RISK:
            found[_place(risk)] = before.get(_place(risk), [since_ns])
            if _place(risk) not in before:
                _tell(risk, since_ns, upkeep)
    losses = [risk for risk in risks if risk.name == LOST]
    for place in {_place(loss) for loss in losses}:
        here = {loss.first: loss for loss in losses if _place(loss) == place}
        found[place] = _tell_losses(here, before.get(place, [-1, 0]), upkeep)
    return found


def _tell_losses(losses: Mapping[int, Risk], before: Sequence[int], upkeep: Upkeep) -> list[int]:
    """Raise an alert for new losses of one partition. `before` and the result: last known offset; 1 if it was new."""
    known, lasting = before
    fresh = {first: loss for first, loss in losses.items() if first > known}
    if fresh and not lasting:  # losses in several calls in a row are one alert
        newest = fresh[max(fresh)]
        _tell(replace(newest, messages=sum(loss.messages for loss in fresh.values())), newest.first, upkeep)
    return [max(losses), int(bool(fresh))]


def _place(risk: Risk) -> str:
    return f"{risk.name} {risk.kind.topic}/{risk.partition}"


def _tell(risk: Risk, key: int, upkeep: Upkeep) -> None:
    alerts.tell(alert_of(risk, f"{risk.kind.topic}/{risk.partition}@{key}", upkeep.now_ns()), upkeep)


def alert_of(risk: Risk, key: str, at_ns: int) -> Alert:
    return Alert(
        name=risk.name,
        key=key,
        label=risk.kind.topic,
        body=risk.message,
        attributes={
            "topic": risk.kind.topic,
            "partition": risk.partition,
            "messages": risk.messages,
            "share": round(risk.share, 4),
            "reason": risk.message,
        },
        at_ns=at_ns,
    )


def counted_losses(care: Care) -> Sequence[Risk]:
    """Losses that flows counted since yesterday, as a flow may count a loss between two looks at the bus.

    Raises:
        StoreError: The lake cannot be read.
    """
    return [
        Risk(
            name=LOST,
            kind=loss.kind,
            partition=loss.partition,
            messages=loss.messages,
            share=1.0,
            message=f"{loss.kind.topic}/{loss.partition}: {loss.messages} messages left the bus before they were in the"
            " lake, and are counted as lost: check that the flows keep up, or raise the topic's retention",
            first=loss.first,
        )
        for loss in care.lake.losses(care.today() - LOOK_BACK)
    ]


def bus_alert_counts(data: Path) -> Mapping[tuple[str, Kind], int]:
    """Numbers of alerts since the data folder exists, with zeros."""
    counts = {name: counts_of(data, name) for name in NAMES}
    return {(name, kind): counts[name].get(kind.topic, 0) for name in NAMES for kind in Kind}
