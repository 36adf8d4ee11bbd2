"""Batches of a closed day, read from the lake -> a new index, put in the place of the day's by moving its aliases.

The order of the switch: the index is complete and refreshed; one request moves every alias, so that a search sees the
old index or the new one; the old one takes no more writes and is looked at for rows that the new one lacks; the state
names the new one; the old one is removed. A crash in between leaves aliases on the new index, which is whole, and a
state that trusts the day as much as before; what is left is removed by the next rebuild or writer. Of two that rebuild
one day at once, the later goes on.
"""

from __future__ import annotations

import datetime as dt
import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec

from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.failpoints import failpoint, reach
from contracts.settings import Settings
from lakehouse.hot.opensearch import document, templates
from lakehouse.hot.opensearch.bulk import MISSING, Bulk
from lakehouse.hot.opensearch.client import Client, EngineError
from lakehouse.hot.opensearch.days import (
    Index,
    Names,
    admission,
    check_mapping,
    current,
    holder,
    indexes,
    is_older,
    remove,
)
from lakehouse.hot.opensearch.query import past
from lakehouse.hot.opensearch.state import Days, DayState, KindState

BUILT = failpoint("hot_opensearch.built", "the new index is complete, and no reader finds it")
MOVED = failpoint("hot_opensearch.moved", "the aliases are on the new index, the state names the old one")
NOTED = failpoint("hot_opensearch.noted", "the state names the new index, the old one is there")
REMOVED = failpoint("hot_opensearch.removed", "the old index is gone")

log = logging.getLogger("headwater.hot")


class OpenSearchHotRebuild:
    """See `contracts.hot.HotRebuild`."""

    def __init__(self, client: Client, settings: Settings, names: Names, day: dt.date) -> None:
        self._client, self._names, self._day = client, names, day
        self._state = KindState(client, settings.opensearch_prefix, names.kind)
        templates.apply(client, settings)
        self._state.create()
        self._begun = self._state.days()
        found = indexes(client, names, names.of(day))
        self._old = self._answering(found)
        remove(client, [index for index in found if index != self._old])
        self._index = names.index(day, max([0, *(index.generation for index in found)]) + 1)
        self._alias = names.building(day, secrets.token_hex(4))
        client.call("PUT", f"/{self._index}", {"aliases": {self._alias: {}}})
        self._bulk: Bulk | None = Bulk(client, settings)
        self._next: dict[int, int] = {}
        self._tenants: set[str] = set()

    def _answering(self, found: Sequence[Index]) -> Index | None:
        """The index that has the aliases, or would get them.

        Raises:
            StoreError: It is somebody else's; nothing was changed.
        """
        name = holder(self._client, self._names.writing(self._day))
        index = next((index for index in found if index.name == name), None) or current(found, self._begun).get(
            self._day
        )
        if index is not None:
            about = self._client.call("GET", f"/{index.name}", absent={}).get(index.name, {})
            if about and not is_older(about):
                check_mapping(index.name, about)
        return index

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, batches: Sequence[Batch]) -> None:
        bulk, kind = self._usable(), self._names.kind
        for batch in batches:
            if batch.kind is not kind or batch.day != self._day:
                raise ValueError(f"this rebuild takes {kind.value} of {self._day}, not {batch.kind} {batch.day}")
            if batch.rows:
                self._tenants.add(batch.header.tenant)
                self._next[batch.partition] = max(batch.next_offset, self._next.get(batch.partition, 0))
                bulk.add(self._alias, document.lines(batch))
        if bulk.gone:
            raise self._again("the day was dropped, forgotten or rebuilt by another process meanwhile")

    def complete(self, checkpoints: Mapping[int, int]) -> None:
        bulk = self._usable()
        for partition, offset in self._next.items():
            if offset > checkpoints.get(partition, 0):
                raise StoreError(f"rows of bus partition {partition} lie past the checkpoints of this rebuild")
        if refused := bulk.flush():
            raise StoreError(
                f"OpenSearch refused {len(refused)} documents of {self._day}: {refused[0].reason}",
                hint="reads of that day take the lake",
            )
        if bulk.gone:
            raise self._again("the day was dropped, forgotten or rebuilt by another process meanwhile")
        self._refresh(self._alias)
        lacks = self._old is not None and self._lacks(self._old, checkpoints)
        if lacks or self._is_short(self._state.days(), checkpoints):
            raise self._again("the day got rows that the lake did not have")
        reach(BUILT)
        self._move_aliases()
        reach(MOVED)
        late = self._old is not None and self._closed_old(self._old, checkpoints)
        self._note(checkpoints, late)
        reach(NOTED)
        found = indexes(self._client, self._names, self._names.of(self._day))
        remove(self._client, [index for index in found if index.name != self._index])
        reach(REMOVED)
        bulk.close()
        self._bulk = None

    def _again(self, why: str) -> StoreError:
        return StoreError(
            f"{self._names.kind.value} of {self._day} were not rebuilt: {why}", hint="run it again", retry_after_s=30
        )

    def _refresh(self, name: str) -> None:
        try:
            self._client.call("POST", f"/{name}/_refresh")
        except EngineError as error:
            if error.kind == MISSING:
                raise self._again("the day was dropped, forgotten or rebuilt by another process meanwhile") from error
            raise

    def _lacks(self, old: Index, checkpoints: Mapping[int, int]) -> bool:
        """Whether an index has rows past the checkpoints: those, the new one has not."""
        self._client.call("POST", f"/{old.name}/_refresh", absent={})
        answer = self._client.call("GET", f"/{old.name}/_count", {"query": past(checkpoints)}, absent={})
        return bool(answer.get("count"))

    def _aliases(self, old: Index) -> dict[str, Any]:
        about: dict[str, Any] = self._client.call("GET", f"/{old.name}/_alias", absent={})
        found: dict[str, Any] = about.get(old.name, {}).get("aliases", {})
        return found

    def _move_aliases(self) -> None:
        """All at once. An index that is not ours any more has not our alias: then nothing is moved."""
        actions: list[dict[str, Any]] = [
            {"remove": {"index": self._index, "alias": self._alias, "must_exist": True}},
            {"add": {"index": self._index, "alias": self._names.writing(self._day)}},
        ]
        tenants, prefix = set(self._tenants), self._names.alias(self._day, "")
        if self._old is not None:
            for alias in self._aliases(self._old):
                actions.append({"remove": {"index": self._old.name, "alias": alias}})
                tenants.add(alias.removeprefix(prefix))
        actions += [
            admission(self._names, self._index, self._day, tenant) for tenant in sorted(tenants) if tenant[0] != "-"
        ]
        try:
            self._client.call("POST", "/_aliases", {"actions": actions})
        except EngineError as error:
            if error.status == 404:
                raise self._again("the day was dropped, forgotten or rebuilt by another process meanwhile") from error
            raise

    def _closed_old(self, old: Index, checkpoints: Mapping[int, int]) -> bool:
        """End what is under way to the old index; whether it has rows that the new one has not."""
        self._client.call("PUT", f"/{old.name}/_block/write", absent={})
        prefix = self._names.alias(self._day, "")
        if late := [alias.removeprefix(prefix) for alias in self._aliases(old)]:  # let in while the aliases were moved
            actions = [admission(self._names, self._index, self._day, tenant) for tenant in late if tenant[0] != "-"]
            self._client.call("POST", "/_aliases", {"actions": actions})
        return self._lacks(old, checkpoints)

    def _note(self, checkpoints: Mapping[int, int], late: bool) -> None:
        """Let the state name the new index.

        Raises:
            StoreError: The day was dropped or forgotten meanwhile, or is not trusted.
        """
        about = self._client.call("GET", f"/{self._index}/_settings", absent={})
        if not about:
            raise self._again("the day was dropped or forgotten meanwhile")
        uuid = about[self._index]["settings"]["index"]["uuid"]
        removals, distrusts = self._removals(self._begun), self._begun.distrusts
        rebuilt_ns = time.time_ns()

        def change(days: Days) -> None:
            if self._removals(days) != removals:
                return
            known = days.days.get(self._day) or DayState("")
            distrusted = late or self._is_short(days, checkpoints) or days.distrusts != distrusts
            days.days[self._day] = msgspec.structs.replace(
                known,
                uuid=uuid,
                distrusted=distrusted,
                dropped=False,
                rebuilt_ns=rebuilt_ns,
                checkpoints=dict(checkpoints),
                format=templates.FORMAT,
            )

        days = self._state.change_days(change)
        if self._removals(days) != removals:
            self._client.call("DELETE", f"/{self._index}", absent={})
            raise self._again("the day was dropped or forgotten meanwhile")
        if not days.trusts(self._day, uuid):
            raise self._again("the day got rows that the lake did not have, and is left to it")

    def _is_short(self, days: Days, checkpoints: Mapping[int, int]) -> bool:
        """Whether rows past the checkpoints were left out while the day was dropped."""
        known = days.days.get(self._day) or DayState("")
        return any(offset > checkpoints.get(partition, 0) for partition, offset in known.skipped.items())

    def _removals(self, days: Days) -> int:
        return days.days[self._day].removals if self._day in days.days else 0

    def _usable(self) -> Bulk:
        if self._bulk is None:
            raise StoreError("this rebuild is over", hint="begin another one")
        return self._bulk

    def close(self) -> None:
        if self._bulk is None:
            return
        self._bulk.close()
        self._bulk = None
        try:
            if holder(self._client, self._alias) == self._index:
                self._client.call("DELETE", f"/{self._index}", absent={})
        except StoreError as error:
            log.warning("%s was not finished, and is removed later: %s", self._index, error)
