"""Names of indexes and aliases, and the index of one arrival day for writing: found, made from its template, or left.

`<prefix>-logs-2026.11.24` is an index, `<prefix>-logs-2026.11.24@acme` the alias through which one tenant reads it.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from contracts.errors import StoreError
from contracts.messages import Kind
from contracts.tenants import Tenant
from lakehouse.hot_opensearch_client import Client, EngineError
from lakehouse.hot_opensearch_state import Day, Days, State
from lakehouse.hot_opensearch_templates import FORMAT

log = logging.getLogger("headwater.hot")


@dataclass(frozen=True, slots=True)
class Names:
    """Of one kind."""

    prefix: str
    kind: Kind

    @property
    def every(self) -> str:
        """A pattern of all its indexes."""
        return f"{self.prefix}-{self.kind.value}-*"

    def index(self, day: dt.date) -> str:
        return f"{self.prefix}-{self.kind.value}-{day:%Y.%m.%d}"

    def alias(self, day: dt.date, tenant: Tenant) -> str:
        return f"{self.index(day)}@{tenant}"

    def writing(self, day: dt.date) -> str:
        """The alias that writers use; no tenant's name begins so."""
        return f"{self.index(day)}@-write"

    def day(self, index: str) -> dt.date | None:
        """None: not the name of one of its indexes."""
        text = index.removeprefix(f"{self.prefix}-{self.kind.value}-")
        try:
            day = dt.date.fromisoformat(text.replace(".", "-"))
        except ValueError:
            return None
        return day if self.index(day) == index else None


def indexes(client: Client, names: Names) -> dict[dt.date, str]:
    """The day and the unique id of every index that is there, ascending."""
    answer = client.call("GET", f"/{names.every}/_settings", params={"filter_path": "*.settings.index.uuid"}, absent={})
    found = {names.day(name): about["settings"]["index"]["uuid"] for name, about in (answer or {}).items()}
    return {day: found[day] for day in sorted(day for day in found if day is not None)}


@dataclass(slots=True)
class OpenDay:
    """A day that takes rows, through the alias `writing`. `tenants` have their alias."""

    day: dt.date
    index: str
    writing: str
    tenants: set[str] = field(default_factory=set)


class DayOpener:
    """Of one kind, for its writer."""

    def __init__(self, client: Client, names: Names, state: State) -> None:
        self._client, self._names, self._state = client, names, state

    def open(self, day: dt.date) -> OpenDay | None:
        """The index of `day`, made when it is missing; None when the day was dropped.

        An index that was removed or replaced by others does not hold all of its day: reads are then told to take the
        lake.

        Raises:
            StoreError: Its mapping is not ours; nothing was changed.
        """
        if self._state.days().is_dropped(day):
            return None
        index = self._names.index(day)
        about = self._client.call("GET", f"/{index}", absent={})
        was_there = bool(about)
        if not about:
            self._create(index)
            about = self._client.call("GET", f"/{index}")
        found = about.get(index)
        if found is None:
            raise StoreError(f'"{index}" is an alias, not an index', hint="remove that alias", retry_after_s=10)
        _check_mapping(index, found)
        begun = self._register(day, found["settings"]["index"]["uuid"], was_there)
        if begun.is_dropped(day):
            return None
        opened = OpenDay(day, index, self._names.writing(day))
        opened.tenants |= {name.removeprefix(f"{index}@") for name in found["aliases"]}
        if opened.writing not in found["aliases"]:
            self._alias([{"add": {"index": index, "alias": opened.writing}}])
        return opened

    def _alias(self, actions: list[dict[str, Any]]) -> None:
        self._client.call("POST", "/_aliases", {"actions": actions})

    def _create(self, index: str) -> None:
        try:
            self._client.call("PUT", f"/{index}", {})
        except EngineError as error:
            if error.kind != "resource_already_exists_exception":
                raise

    def _register(self, day: dt.date, uuid: str, was_there: bool) -> Days:
        is_foreign = was_there and day not in self._state.days().days and self._holds_rows(day)

        def change(days: Days) -> None:
            known = days.days.get(day)
            if known is None:
                days.days[day] = Day(uuid, distrusted=is_foreign)
            elif not known.dropped and known.uuid != uuid:
                log.error("the index of %s was removed or replaced: reads of that day take the lake", day)
                days.days[day] = Day(uuid, distrusted=True)

        return self._state.change_days(change)

    def _holds_rows(self, day: dt.date) -> bool:
        index = self._names.index(day)
        self._client.call("POST", f"/{index}/_refresh")
        return bool(self._client.call("GET", f"/{index}/_count")["count"])

    def admit(self, day: OpenDay, tenants: Iterable[str]) -> None:
        """Make the filtered aliases of tenants that have none yet."""
        new = sorted(set(tenants) - day.tenants)
        if not new:
            return
        actions = [
            {"add": {"index": day.index, "alias": f"{day.index}@{name}", "filter": {"term": {"tenant": name}}}}
            for name in new
        ]
        self._alias(actions)
        day.tenants.update(new)


def _check_mapping(index: str, found: dict[str, Any]) -> None:
    mapped = found.get("mappings", {}).get("_meta", {}).get("headwater")
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
