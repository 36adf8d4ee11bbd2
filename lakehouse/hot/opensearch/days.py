"""Names of indexes and aliases, and the index of one arrival day for writing: found, made from its template, or left.

`<prefix>-logs-2026.11.24` is an index, `<prefix>-logs-2026.11.24-2` the same day, rebuilt from the lake, and
`<prefix>-logs-2026.11.24@acme` the alias through which one tenant reads the one that counts: the one with the alias
`@-write`, which the state names.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.errors import StoreError
from contracts.failpoints import failpoint, reach
from contracts.messages import Kind
from lakehouse.hot.opensearch.client import Client, EngineError
from lakehouse.hot.opensearch.state import Days, DayState, KindState
from lakehouse.hot.opensearch.templates import FORMAT

UNFINISHED_H = 24  # an index that is built for so long is nobody's any more

MARKED = failpoint("hot_opensearch.marked", "a day is marked as dropped or forgotten, its index is there")

log = logging.getLogger("headwater.hot")

_INDEX = re.compile(r"(\d{4}\.\d\d\.\d\d)(?:-([1-9]\d*))?")


@dataclass(frozen=True, slots=True)
class Names:
    """Of one kind."""

    prefix: str
    kind: Kind

    @property
    def every(self) -> str:
        """A pattern of all its indexes."""
        return f"{self.prefix}-{self.kind.value}-*"

    def of(self, day: dt.date) -> str:
        """A pattern of all indexes of a day."""
        return f"{self.index(day)}*"

    def index(self, day: dt.date, generation: int = 0) -> str:
        """The first one of the day has no number, those that were rebuilt have one."""
        return f"{self.prefix}-{self.kind.value}-{day:%Y.%m.%d}" + (f"-{generation}" if generation else "")

    def alias(self, day: dt.date, tenant: str) -> str:
        return f"{self.index(day)}@{tenant}"

    def writing(self, day: dt.date) -> str:
        """The alias that writers use, on the one index that is the day; no tenant's name begins so."""
        return f"{self.index(day)}@-write"

    def building(self, day: dt.date, name: str) -> str:
        """The alias of an index that is not finished."""
        return f"{self.index(day)}@-build-{name}"

    def parse(self, index: str) -> tuple[dt.date, int] | None:
        """Day and number; None: not the name of one of its indexes."""
        match = _INDEX.fullmatch(index.removeprefix(f"{self.prefix}-{self.kind.value}-"))
        if match is None:
            return None
        try:
            day, generation = dt.date.fromisoformat(match[1].replace(".", "-")), int(match[2] or 0)
        except ValueError:
            return None
        return (day, generation) if self.index(day, generation) == index else None


@dataclass(frozen=True, slots=True)
class Index:
    """One that is there. `created_ms`: Unix milliseconds, by the engine's clock."""

    name: str
    day: dt.date
    generation: int
    uuid: str
    created_ms: int


def indexes(client: Client, names: Names, pattern: str = "") -> list[Index]:
    """Those that are there and match `pattern` (empty: all of the kind), by day and number."""
    about = {"filter_path": "*.settings.index.uuid,*.settings.index.creation_date"}
    answer = client.call("GET", f"/{pattern or names.every}/_settings", params=about, absent={})
    found = []
    for name, each in (answer or {}).items():
        if (parsed := names.parse(name)) is not None:
            told = each["settings"]["index"]
            found.append(Index(name, *parsed, told["uuid"], int(told["creation_date"])))
    return sorted(found, key=lambda index: (index.day, index.generation))


def current(found: Iterable[Index], days: Days) -> dict[dt.date, Index]:
    """The index that is its day, ascending; one that the state does not know is not the whole day."""
    chosen: dict[dt.date, Index] = {}
    for index in found:
        known = days.days.get(index.day)
        if (known is not None and known.uuid == index.uuid) or (not index.generation and index.day not in chosen):
            chosen[index.day] = index
    return chosen


def remove(client: Client, found: Iterable[Index]) -> None:
    for index in found:
        client.call("DELETE", f"/{index.name}", absent={})


def holder(client: Client, alias: str) -> str | None:
    """The index that has `alias`; None: there is none."""
    return next(iter(client.call("GET", f"/_alias/{alias}", absent={})), None)


def forget(client: Client, names: Names, state: KindState, day: dt.date, for_good: bool = False) -> None:
    """Note that the index of `day` goes, then remove it: in this order, so that no crash between them forgets it."""
    state.create()
    state.change_days(lambda days: days.remove(day, for_good))
    reach(MARKED)
    remove(client, indexes(client, names, names.of(day)))


def sweep(client: Client, names: Names, days: Days, now_ms: int) -> None:
    """Remove what a process left that was killed: older indexes of rebuilt days, those of dropped days, and unfinished
    ones that are old."""
    found = indexes(client, names)
    many = {day for day, count in Counter(index.day for index in found).items() if count > 1}
    if not many and not any(days.is_dropped(index.day) for index in found):
        return
    unfinished = client.call("GET", f"/_alias/{names.every}@-build-*", absent={})
    chosen = current(found, days)
    for index in found:
        if index.name in unfinished:
            is_left = now_ms - index.created_ms > UNFINISHED_H * 3_600_000
        elif index.day in many and not days.is_dropped(index.day):
            is_left = index.name != (holder(client, names.writing(index.day)) or chosen[index.day].name)
        else:
            is_left = days.is_dropped(index.day)
        if is_left:
            remove(client, [index])


@dataclass(slots=True)
class OpenDay:
    """A day that takes rows, through the alias `writing`. `tenants` have their alias.

    Attributes:
        checkpoints: Next offset by bus partition that a rebuild had.
    """

    day: dt.date
    index: str
    writing: str
    checkpoints: Mapping[int, int]
    tenants: set[str] = field(default_factory=set)


class DayOpener:
    """Of one kind, for its writer."""

    def __init__(self, client: Client, names: Names, state: KindState) -> None:
        self._client, self._names, self._state = client, names, state

    def open(self, day: dt.date) -> OpenDay | None:
        """The index of `day`, made when it is missing; None when the day was dropped.

        An index that was removed or replaced by others does not hold all of its day: reads are then told to take the
        lake.

        Raises:
            StoreError: Its mapping is not ours; nothing was changed.
        """
        days = self._state.days()
        if days.is_dropped(day):
            return None
        index = self._find(day, days)
        about = self._client.call("GET", f"/{index}", absent={})
        if about and is_older(about.get(index, {})):
            self._begin_anew(day, index)
            about = {}
        was_there = bool(about)
        if not about:
            self._create(index)
            about = self._client.call("GET", f"/{index}")
        found = about.get(index)
        if found is None:
            raise StoreError(f'"{index}" is an alias, not an index', hint="remove that alias", retry_after_s=10)
        check_mapping(index, found)
        begun = self._register(day, index, found["settings"]["index"]["uuid"], was_there)
        if begun.is_dropped(day):
            return None
        opened = OpenDay(day, index, self._names.writing(day), begun.days[day].checkpoints)
        opened.tenants |= {name.removeprefix(self._names.alias(day, "")) for name in found["aliases"]}
        if opened.writing not in found["aliases"]:
            self._alias([{"add": {"index": index, "alias": opened.writing}}])
        return opened

    def _find(self, day: dt.date, days: Days) -> str:
        """The index that takes the rows of a day: the one that has the alias, as a rebuild moves it first of all."""
        if (name := holder(self._client, self._names.writing(day))) is not None:
            return name
        index = current(indexes(self._client, self._names, self._names.of(day)), days).get(day)
        return self._names.index(day) if index is None else index.name

    def _begin_anew(self, day: dt.date, index: str) -> None:
        log.warning("%s has an older format and is begun anew: reads of that day take the lake", index)
        self._state.change_days(lambda days: days.remove(day, for_good=False))
        self._client.call("DELETE", f"/{index}", absent={})

    def _alias(self, actions: list[dict[str, Any]]) -> None:
        self._client.call("POST", "/_aliases", {"actions": actions})

    def _create(self, index: str) -> None:
        try:
            self._client.call("PUT", f"/{index}", {})
        except EngineError as error:
            if error.kind != "resource_already_exists_exception":
                raise

    def _register(self, day: dt.date, index: str, uuid: str, was_there: bool) -> Days:
        is_foreign = was_there and day not in self._state.days().days and self._holds_rows(index)

        def change(days: Days) -> None:
            known = days.days.get(day)
            if known is None:
                days.days[day] = DayState(uuid, is_foreign, format=FORMAT)
            elif not known.dropped and known.uuid != uuid:
                if known.uuid:
                    log.error("the index of %s was removed or replaced: reads of that day take the lake", day)
                removals, skipped = known.removals, known.skipped
                days.days[day] = DayState(uuid, True, format=FORMAT, removals=removals, skipped=skipped)

        return self._state.change_days(change)

    def _holds_rows(self, index: str) -> bool:
        self._client.call("POST", f"/{index}/_refresh")
        return bool(self._client.call("GET", f"/{index}/_count")["count"])

    def admit(self, day: OpenDay, tenants: Iterable[str]) -> None:
        """Make the filtered aliases of tenants that have none yet."""
        new = sorted(set(tenants) - day.tenants)
        if not new:
            return
        self._alias([admission(self._names, day.index, day.day, name) for name in new])
        if holder(self._client, day.writing) != day.index:  # a rebuild may not have seen them
            raise StoreError(f"the index of {day.day} was rebuilt meanwhile: its newest rows are written again")
        day.tenants.update(new)


def admission(names: Names, index: str, day: dt.date, tenant: str) -> dict[str, Any]:
    """The action that lets `tenant` read its documents in `index`."""
    return {"add": {"index": index, "alias": names.alias(day, tenant), "filter": {"term": {"tenant": tenant}}}}


def _format(found: dict[str, Any]) -> int | None:
    number: int | None = found.get("mappings", {}).get("_meta", {}).get("headwater")
    return number


def is_older(found: dict[str, Any]) -> bool:
    """Whether an index was made by a Headwater that wrote documents in another way."""
    number = _format(found)
    return number is not None and number < FORMAT


def check_mapping(index: str, found: dict[str, Any]) -> None:
    """Raises StoreError when an index was not made by a Headwater that we know."""
    mapped = _format(found)
    if mapped == FORMAT:
        return
    if mapped is not None and mapped > FORMAT:
        raise StoreError(
            f'index "{index}" has format {mapped}, this Headwater knows {FORMAT}',
            hint="upgrade this process",
            retry_after_s=10,
        )
    raise StoreError(
        f'index "{index}" has a mapping that is not Headwater\'s: it was made by hand, by others, or by use',
        hint="delete or rename that index: it is made anew from the template; GET /_index_template shows whether "
        "another template of a higher priority matches its name",
        retry_after_s=10,
    )
