"""A module of the product, started with a promise broken, or with its steps stretched so that kills fall between.

python -m tests.e2e.sabotage NAME MODULE [ARGUMENTS]
"""

from __future__ import annotations

import os
import re
import runpy
import signal
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bus.sqlite.group_commit
import flows.read.repeats
import ingestion_api.acknowledged
import lakehouse.delta.table
import lakehouse.hot.tantivy.day
import lakehouse.hot.tantivy.folder
import lakehouse.lake.writer
from contracts.batches import Batch

STRETCH_S = 0.25


def before(owner: Any, name: str, pause_s: float = STRETCH_S) -> None:
    """Pause before each call of `owner.name`."""
    original = getattr(owner, name)

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(pause_s)
        return original(*args, **kwargs)

    setattr(owner, name, slow)


def forgetful_service() -> None:
    """Breaks nothing. The service takes no repeat off the flow's hands: every answer that was swallowed makes one."""
    known = ingestion_api.acknowledged.Acknowledged
    known.add_range = lambda *_: None  # type: ignore[method-assign]
    known.add_key = lambda *_: None  # type: ignore[method-assign]


def stretched_steps() -> None:
    """Breaks nothing. A kill now falls between the steps of a commit more often than not."""
    before(bus.sqlite.group_commit.GroupCommit, "_write", 0.02)
    before(lakehouse.delta.table.Delta, "append")
    before(lakehouse.hot.tantivy.folder.KindFolder, "write_progress", 0.1)
    die_between_rows_and_ledger()
    forgetful_service()


def no_checkpoint_in_hot_commit() -> None:
    before(lakehouse.hot.tantivy.folder.KindFolder, "write_progress", 0.1)
    lakehouse.hot.tantivy.day.DayWriter.stage_checkpoints = lambda self: None  # type: ignore[method-assign]


def die(times: int) -> None:
    """SIGKILL to this process, when fewer than `times` of this data folder have died so."""
    deaths = Path(os.environ["HEADWATER_DATA_DIR"]) / "deaths"
    died = len(deaths.read_text()) if deaths.exists() else 0
    if died < times:
        deaths.write_text("x" * (died + 1))
        os.kill(os.getpid(), signal.SIGKILL)


def die_between_rows_and_ledger(times: int = 3) -> None:
    """The first `times` processes of this data folder kill themselves before their first commit of the ledger."""
    original = lakehouse.delta.table.Delta.append

    def append(self: lakehouse.delta.table.Delta, *args: Any) -> None:
        if self.name == "ledger":
            die(times)
        original(self, *args)

    lakehouse.delta.table.Delta.append = append  # type: ignore[assignment, method-assign]


def no_transaction_in_lake_commit() -> None:
    die_between_rows_and_ledger()
    lakehouse.lake.writer.already_landed = lambda table, kind: {}


def no_sequence_dedupe() -> None:
    forgetful_service()
    flows.read.repeats.fresh_lines = lambda header, next_sequence, holes: (range(header.span),)


def acknowledge_before_durable() -> None:
    before(bus.sqlite.group_commit.GroupCommit, "_commit_group")
    bus.sqlite.group_commit.GroupCommit.wait_durable = lambda self, append, timeout_s: 0  # type: ignore[method-assign]


def hot_ids_by_chance() -> None:
    """OpenSearch alone: a batch that is written again makes other documents; the first processes die before they note
    how far they came."""
    from lakehouse.hot.opensearch import document as hot_opensearch_document
    from lakehouse.hot.opensearch.state import KindState

    lines, write = hot_opensearch_document.lines, KindState.write_checkpoints

    def others(batch: Batch) -> list[bytes]:
        return [re.sub(rb'"_id":"[0-9]+"', b'"_id":"%b"' % uuid.uuid4().hex.encode(), line) for line in lines(batch)]

    def write_late(self: KindState, *args: Any) -> Any:
        die(times=2)
        return write(self, *args)

    hot_opensearch_document.lines = others
    KindState.write_checkpoints = write_late  # type: ignore[assignment, method-assign]


def hot_checkpoint_first() -> None:
    """OpenSearch alone: the checkpoint is moved before the documents are there, and the first processes die then."""
    from lakehouse.hot.opensearch.writer import OpenSearchHotWriter

    commit = OpenSearchHotWriter._commit

    def reversed_commit(self: OpenSearchHotWriter) -> None:
        if self._moved:
            self._saved = self._state.write_checkpoints(self._saved, self._moved)
            self._moved = {}
            if self._touched:
                die(times=2)
        commit(self)

    OpenSearchHotWriter._commit = reversed_commit  # type: ignore[method-assign]


def acknowledge_before_the_delivery_report() -> None:
    """Kafka alone: what was only queued counts as stored."""
    from bus.kafka import sender as kafka_sender

    module: Any = kafka_sender
    options = module.producer_options
    module.producer_options = lambda cluster: {**options(cluster), "linger.ms": 900}

    def at_once(self: kafka_sender.Delivery, timeout_s: float | None) -> bool:
        self.offsets, self.errors = [0] * len(self.offsets), [None] * len(self.errors)
        return True

    kafka_sender.Delivery.wait = at_once  # type: ignore[method-assign]


SABOTAGES: dict[str, Callable[[], None]] = {
    "stretched-steps": stretched_steps,
    "no-checkpoint-in-hot-commit": no_checkpoint_in_hot_commit,
    "no-transaction-in-lake-commit": no_transaction_in_lake_commit,
    "no-sequence-dedupe": no_sequence_dedupe,
    "acknowledge-before-durable": acknowledge_before_durable,
    "hot-ids-by-chance": hot_ids_by_chance,
    "hot-checkpoint-first": hot_checkpoint_first,
    "acknowledge-before-the-delivery-report": acknowledge_before_the_delivery_report,
}


if __name__ == "__main__":
    name, module, *arguments = sys.argv[1:]
    SABOTAGES[name]()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
