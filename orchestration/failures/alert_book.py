"""Book of alerts: what was raised -> counts, and what is still to be told, in a file of the data folder.

What waits is bounded: past the limit the oldest alert goes, and is counted as given up.

Written by the one process that holds the folder, whole and synced, and kept in its memory too: while the disk is full
it goes on from there, and the file has it again with the next write that succeeds. Imports no Dagster.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from contracts.files import replace_file

REMEMBERED = 1000  # alerts that were raised already
WEBHOOK, EVENT = "webhook", "event"  # where an alert was to go
QUEUE_FULL, TOO_OLD = "queue_full", "too_old"  # why it was given up

log = logging.getLogger(__name__)

Counts = dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that an operator should know of.

    Attributes:
        name: Of its event.
        key: Raised twice with the same name and key, it is one.
        label: What it is counted by.
        at_ns: When it happened, Unix nanoseconds UTC.
        posted: Nothing is left to do for the webhook.
        said: Its event is on the bus.
        entered_ns: When it came into the book, Unix nanoseconds UTC; 0 is unknown.
        attempts: Posts of it that failed.
        next_post_ns: It is not posted before, Unix nanoseconds UTC.
    """

    name: str
    key: str
    label: str
    body: str
    attributes: Mapping[str, str | int | float]
    at_ns: int
    posted: bool = False
    said: bool = False
    entered_ns: int = 0
    attempts: int = 0
    next_post_ns: int = 0


_FIELDS = frozenset(field.name for field in fields(Alert))


def waiting_counts(data: Path) -> Mapping[str, int]:
    """Alerts that wait, by where they are to go, as the file has them."""
    try:
        waiting = _parsed(_file(data))["untold"].values()
    except OSError:
        waiting = ()
    return {
        WEBHOOK: sum(not entry["posted"] for entry in waiting),
        EVENT: sum(not entry["said"] for entry in waiting),
    }


def given_up_counts(data: Path) -> Mapping[tuple[str, str], int]:
    """Alerts that were given up since the data folder exists, by where they were to go and why."""
    try:
        found = _parsed(_file(data))["given_up"]
    except OSError:
        found = {}
    reasons = ((WEBHOOK, TOO_OLD), (WEBHOOK, QUEUE_FULL), (EVENT, QUEUE_FULL))
    return {(where, why): found.get(f"{where} {why}", 0) for where, why in reasons}


def counts_of(data: Path, name: str) -> Mapping[str, int]:
    """Alerts of `name` since the data folder exists, by label, as the file has them."""
    try:
        counts: Mapping[str, int] = _parsed(_file(data))["raised"].get(name, {})
    except OSError:
        return {}
    return counts


class Book:
    """Not for several threads at once. No method raises for a disk that fails."""

    def __init__(self, data: Path) -> None:
        self._path = _file(data)
        self._kept = _empty()
        self._begun = False  # what the file had is in `_kept`
        self._written = True

    @property
    def failures(self) -> int:
        """Posts in a row that the webhook did not answer."""
        return int(self._kept["webhook"]["failures"])

    @property
    def pause_ends_ns(self) -> int:
        """Nothing is posted before, Unix nanoseconds UTC."""
        return int(self._kept["webhook"]["next_ns"])

    def pause(self, failures: int, until_ns: int) -> None:
        """Leave the webhook alone; `note` saves it too."""
        self._kept["webhook"] = {"failures": failures, "next_ns": until_ns}

    def give_up(self, where: str, why: str) -> None:
        """Count an alert that will not be told there; `note` saves it too."""
        self._kept["given_up"][f"{where} {why}"] = self._kept["given_up"].get(f"{where} {why}", 0) + 1

    def enter(self, alert: Alert, limit: int) -> bool:
        """Count it and keep it until it is told; False when it was raised before. At most `limit` are kept."""
        self._begin()
        if _mark(alert) in self._kept["told"]:
            return False
        counted = self._kept["raised"].setdefault(alert.name, {})
        counted[alert.label] = counted.get(alert.label, 0) + 1
        self._kept["told"] = [*self._kept["told"], _mark(alert)][-REMEMBERED:]
        self._make_room(limit)
        self._kept["untold"][_mark(alert)] = asdict(alert)
        self._written = False
        self.save()
        return True

    def _make_room(self, limit: int) -> None:
        untold = self._kept["untold"]
        while len(untold) >= limit:
            mark = next(iter(untold))
            log.error("alerts: %s is given up, as %d wait: see webhook and bus, or HEADWATER_ALERT_QUEUE", mark, limit)
            oldest = _alert(untold.pop(mark))
            for where, done in ((WEBHOOK, oldest.posted), (EVENT, oldest.said)):
                if not done:
                    self.give_up(where, QUEUE_FULL)

    def untold(self) -> list[Alert]:
        self._begin()
        return [_alert(entry) for entry in self._kept["untold"].values()]

    def note(self, alert: Alert) -> None:
        """How far it is told; once all is done it is kept no more. One that a full queue gave up stays gone."""
        if alert.posted and alert.said:
            self._kept["untold"].pop(_mark(alert), None)
        elif _mark(alert) in self._kept["untold"]:
            self._kept["untold"][_mark(alert)] = asdict(alert)
        self._written = False
        self.save()

    def save(self) -> None:
        self._begin()
        if self._written or not self._begun:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, json.dumps(self._kept).encode(), mode=0o644)
            self._written = True
        except OSError as error:
            log.warning("alerts are kept in memory alone until %s can be written: %s", self._path, error)

    def _begin(self) -> None:
        """Over what this process may have entered while the file could not be read."""
        if self._begun:
            return
        try:
            before = _parsed(self._path)
        except OSError as error:
            log.warning("alerts are kept in memory alone until %s can be read: %s", self._path, error)
            return
        for name, counted in self._kept["raised"].items():
            known = before["raised"].setdefault(name, {})
            for label, count in counted.items():
                known[label] = known.get(label, 0) + count
        for mark, count in self._kept["given_up"].items():
            before["given_up"][mark] = before["given_up"].get(mark, 0) + count
        before["webhook"] = max(before["webhook"], self._kept["webhook"], key=lambda each: int(each["next_ns"]))
        before["told"] += self._kept["told"]
        before["untold"] |= self._kept["untold"]
        self._kept, self._begun = before, True


def _mark(alert: Alert) -> str:
    return f"{alert.name}:{alert.key}"


def _alert(entry: Mapping[str, Any]) -> Alert:
    return Alert(**{name: value for name, value in entry.items() if name in _FIELDS})


def _file(data: Path) -> Path:
    return data / "dagster" / "failures.json"


def _empty() -> dict[str, Any]:
    return {"raised": {}, "told": [], "untold": {}, "given_up": {}, "webhook": {"failures": 0, "next_ns": 0}}


def _parsed(path: Path) -> dict[str, Any]:
    """None is an empty one, and so is one that is no JSON.

    Raises:
        OSError: It is there and cannot be read.
    """
    try:
        kept: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return _empty()
    except ValueError as error:
        log.warning("%s is no JSON, and is begun anew: %s", path, error)
        return _empty()
    return _empty() | kept
