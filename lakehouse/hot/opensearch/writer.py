"""A writer of a kind: batches of a flow -> the indexes of their arrival days, then the checkpoints.

Order of a commit: every document is acknowledged (and on disk), the indexes are refreshed, then the checkpoint moves. A
crash in between replays batches whose documents are there already. Full requests leave before the commit, so rows may
be seen a little before they count as stored. Several writers of a kind may run, on partitions of their own: each moves
the checkpoints of those that it was given.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.messages import Kind
from contracts.settings import Settings
from lakehouse.hot.opensearch import document, templates
from lakehouse.hot.opensearch.bulk import MISSING, Bulk, Refused
from lakehouse.hot.opensearch.client import Client, EngineError
from lakehouse.hot.opensearch.days import DayOpener, Names, OpenDay, forget, sweep
from lakehouse.hot.opensearch.state import Days, KindState

log = logging.getLogger("headwater.hot")


class OpenSearchHotWriter:
    """See `contracts.hot.HotWriter`. After a StoreError it must be closed and opened again.

    `refused` counts documents that the engine would not take, by index, since it was opened.
    """

    def __init__(self, client: Client, settings: Settings, kind: Kind) -> None:
        names = Names(settings.opensearch_prefix, kind)
        self._client, self._names, self._kind = client, names, kind
        self._state = KindState(client, settings.opensearch_prefix, kind)
        self._opener = DayOpener(client, names, self._state)
        templates.apply(client, settings)
        self._state.create()
        sweep(client, names, self._state.days(), time.time_ns() // 1_000_000)
        self._saved = self._state.checkpoints()
        self._moved: dict[int, int] = {}
        self._days: dict[dt.date, OpenDay | None] = {}
        self._left_out: dict[dt.date, dict[int, int]] = {}  # next offsets of what came for days that were dropped
        self._touched: set[str] = set()
        self._failure: StoreError | None = None
        self._is_closed = False
        self.refused: Counter[str] = Counter()
        self._bulk = Bulk(client, settings)

    def checkpoints(self) -> Mapping[int, int]:
        return dict(self._saved.value.partitions)

    def append(self, batches: Sequence[Batch]) -> None:
        """What the engine has against it is told by `commit`: here only a batch can be at fault."""
        self._check_usable()
        for batch in batches:
            if batch.kind is not self._kind:
                raise ValueError(f"this writer takes {self._kind.value}, not {batch.kind.value}")
            known = self._moved.get(batch.partition, self._saved.value.partitions.get(batch.partition, 0))
            if batch.rows and batch.offset >= known:
                self._add(batch, document.lines(batch))
            if batch.next_offset > known:
                self._moved[batch.partition] = batch.next_offset

    def _add(self, batch: Batch, lines: Sequence[bytes]) -> None:
        if self._failure is not None:
            return
        try:
            day = self._day(batch.day)
            if day is None:
                left = self._left_out.setdefault(batch.day, {})
                left[batch.partition] = max(left.get(batch.partition, 0), batch.next_offset)
                return
            if batch.offset < day.checkpoints.get(batch.partition, 0):
                return
            self._opener.admit(day, [batch.header.tenant])
            self._touched.add(day.writing)
            self._bulk.add(day.writing, lines)
        except StoreError as error:
            if isinstance(error, EngineError) and error.kind == MISSING and batch.day in self._days:
                self._bulk.gone.add(self._names.writing(batch.day))
            else:
                self._failure = error

    def _day(self, day: dt.date) -> OpenDay | None:
        if day not in self._days:
            self._days[day] = self._opener.open(day)
        return self._days[day]

    def commit(self) -> None:
        self._check_usable()
        if self._failure is not None:
            raise self._failure
        try:
            self._commit()
        except StoreError as error:
            self._failure = error
            raise

    def _commit(self) -> None:
        if refused := self._bulk.flush():
            self._leave_to_the_lake(refused)
        if self._bulk.gone:
            self._look_after(self._bulk.gone)
            self._bulk.gone.clear()
        if self._touched:
            path = f"/{','.join(sorted(self._touched))}/_refresh"
            self._client.call("POST", path, params={"ignore_unavailable": "true"})
            self._touched.clear()
        if self._left_out:
            self._note_left_out()
        if self._moved:
            self._saved = self._state.write_checkpoints(self._saved, self._moved)
            self._moved = {}

    def _note_left_out(self) -> None:
        """Raises StoreError when one of the days was rebuilt meanwhile: its rows are to be given again."""
        days = self._state.change_days(self._leave_out)
        if back := [day for day in self._left_out if not days.is_dropped(day)]:
            raise StoreError(f"the index of {min(back)} was rebuilt meanwhile: its newest rows are written again")
        self._left_out.clear()

    def _leave_out(self, days: Days) -> None:
        for day, offsets in self._left_out.items():
            if days.is_dropped(day):
                skipped = days.days[day].skipped
                for partition, offset in offsets.items():
                    skipped[partition] = max(offset, skipped.get(partition, 0))

    def _look_after(self, gone: set[str]) -> None:
        """What a dropped day misses is not missed. An index that others removed is made anew, and not trusted.

        Raises:
            StoreError: There was such a one; the rows are to be given again.
        """
        anew = []
        for day, opened in list(self._days.items()):
            if opened is not None and opened.writing in gone:
                self._days[day] = self._opener.open(day)
                anew += [opened.index] if self._days[day] is not None else []
        if anew:
            raise StoreError(
                f"OpenSearch had lost {', '.join(anew)}, and has it anew: reads of that day take the lake",
                hint="it was forgotten or rebuilt, or somebody removed it: let `headwater` drop days by itself",
                retry_after_s=1,
            )

    def _leave_to_the_lake(self, refused: Sequence[Refused]) -> None:
        """The lake has these records: reads of their days are told to ask it."""
        for each in refused:
            self.refused[each.index] += 1
        places = {each.index for each in refused}
        log.error(
            "OpenSearch refused %d documents of %s, reads of these days take the lake: %s",
            len(refused),
            ", ".join(sorted(places)),
            refused[0].reason,
        )

        def change(days: Days) -> None:
            for day, opened in self._days.items():
                if opened is not None and opened.writing in places and day in days.days:
                    days.days[day].distrusted = True
            days.distrusts += 1

        self._state.change_days(change)

    def distrust_through(self, day: dt.date) -> None:
        self._state.change_days(lambda days: days.distrust(day))

    def forget(self, day: dt.date) -> None:
        self.commit()
        self._days.pop(day, None)
        forget(self._client, self._names, self._state, day)

    def _check_usable(self) -> None:
        if self._is_closed:
            raise StoreError("this hot writer is closed", hint="open it again and replay its checkpoints")

    def close(self) -> None:
        self._is_closed = True
        self._bulk.close()
