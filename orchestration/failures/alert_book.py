"""Book of alerts: raised alerts -> counts, and the queue of undelivered alerts, in a file of the data folder.

The queue is bounded: above the limit the oldest alert is given up and counted.

Only the process that holds the folder writes the file, atomically and synced. The process keeps the book in memory too:
if the disk is full, it works on from memory until a write succeeds again. Imports no Dagster.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from contracts.files import replace_file

REMEMBERED = 1000  # raised alerts whose keys are kept, so that no alert is raised twice
WEBHOOK, EVENT = "webhook", "event"  # destinations of an alert
QUEUE_FULL, TOO_OLD = "queue_full", "too_old"  # reasons for giving an alert up

log = logging.getLogger(__name__)

Counts = dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class Alert:
    """One message for the operator.

    Attributes:
        name: Name of its event.
        key: Identity: two alerts with the same name and key are one alert.
        label: Label of its count.
        at_ns: Time of the failure, Unix nanoseconds UTC.
        posted: True: the webhook needs no more POST.
        said: True: the event is on the bus.
        entered_ns: Time of entry into the book, Unix nanoseconds UTC; 0 is unknown.
        attempts: Number of failed POSTs.
        next_post_ns: Earliest time of the next POST, Unix nanoseconds UTC.
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
    """Numbers of waiting alerts by destination, from the file."""
    try:
        waiting = _parsed(_file(data))["untold"].values()
    except OSError:
        waiting = ()
    return {
        WEBHOOK: sum(not entry["posted"] for entry in waiting),
        EVENT: sum(not entry["said"] for entry in waiting),
    }


def given_up_counts(data: Path) -> Mapping[tuple[str, str], int]:
    """Numbers of alerts given up since the data folder exists, by destination and reason."""
    try:
        found = _parsed(_file(data))["given_up"]
    except OSError:
        found = {}
    reasons = ((WEBHOOK, TOO_OLD), (WEBHOOK, QUEUE_FULL), (EVENT, QUEUE_FULL))
    return {(where, why): found.get(f"{where} {why}", 0) for where, why in reasons}


def counts_of(data: Path, name: str) -> Mapping[str, int]:
    """Numbers of alerts of `name` since the data folder exists, by label, from the file."""
    try:
        counts: Mapping[str, int] = _parsed(_file(data))["raised"].get(name, {})
    except OSError:
        return {}
    return counts


class Book:
    """Not thread-safe. No method raises if the disk fails."""

    def __init__(self, data: Path) -> None:
        self._path = _file(data)
        self._kept = _empty()
        self._begun = False  # True: `_kept` has the content of the file
        self._written = True

    @property
    def failures(self) -> int:
        """Number of POSTs in a row that the webhook did not answer."""
        return int(self._kept["webhook"]["failures"])

    @property
    def pause_ends_ns(self) -> int:
        """Earliest time of the next POST of any alert, Unix nanoseconds UTC."""
        return int(self._kept["webhook"]["next_ns"])

    def pause(self, failures: int, until_ns: int) -> None:
        """Send no POST before `until_ns`; the next `note` saves this."""
        self._kept["webhook"] = {"failures": failures, "next_ns": until_ns}

    def give_up(self, where: str, why: str) -> None:
        """Count an alert that destination `where` will not get; the next `note` saves this."""
        self._kept["given_up"][f"{where} {why}"] = self._kept["given_up"].get(f"{where} {why}", 0) + 1

    def enter(self, alert: Alert, limit: int) -> bool:
        """Count the alert and keep it until delivered; False: raised before. At most `limit` alerts are kept."""
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
            log.error("alert %s given up: %d alerts wait; check webhook and bus, or HEADWATER_ALERT_QUEUE", mark, limit)
            oldest = _alert(untold.pop(mark))
            for where, done in ((WEBHOOK, oldest.posted), (EVENT, oldest.said)):
                if not done:
                    self.give_up(where, QUEUE_FULL)

    def untold(self) -> list[Alert]:
        self._begin()
        return [_alert(entry) for entry in self._kept["untold"].values()]

    def note(self, alert: Alert) -> None:
        """Save the state of the alert, or remove it once delivered. An alert that was given up is not added again."""
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
            log.warning("alerts are kept only in memory until %s can be written: %s", self._path, error)

    def _begin(self) -> None:
        """Read the file and merge in the alerts that came while the file could not be read."""
        if self._begun:
            return
        try:
            before = _parsed(self._path)
        except OSError as error:
            log.warning("alerts are kept only in memory until %s can be read: %s", self._path, error)
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
    """Content of the file; a missing or damaged file gives an empty book.

    Raises:
        OSError: The file exists and cannot be read.
    """
    try:
        kept: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return _empty()
    except ValueError as error:
        log.warning("%s is no JSON; a new book of alerts begins: %s", path, error)
        return _empty()
    return _empty() | kept
