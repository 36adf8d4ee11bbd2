"""Dead letters reach the bus whatever their size, and wait for a lake that is away."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import bus.sqlite.bus
from contracts.batches import Batch, Reject
from contracts.errors import StoreError
from contracts.messages import Kind
from flows.write.dead_letters import MOST_BYTES, DeadLetterWriter, in_parts
from lakehouse.lake.store import Lake
from tests.flows.messages import header
from tests.flows.running import World


def batch(*payloads: bytes) -> Batch:
    rejects = [Reject(index, each, "invalid_json", "no JSON", "decode") for index, each in enumerate(payloads)]
    return Batch(header(span=len(rejects), count=len(rejects)), 0, 0, rejects=rejects, received=len(rejects))


def test_letters_that_are_too_large_for_the_topic_go_in_parts_and_at_last_cut(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus.sqlite.bus, "MESSAGE_BYTES", 100_000)
    sent = batch(b"a" * 60_000, b"b" * 300_000, b"c" * 10)

    assert DeadLetterWriter(world.connections, Kind.LOGS, threading.Event())(sent) == [sent]

    world.run(Kind.DEAD_LETTERS)
    rows = sorted(world.lake_rows("dead_letters"), key=lambda row: int(row["source_index"]))
    assert [(row["payload"][:1], len(row["payload"])) for row in rows] == [(b"a", 60_000), (b"b", 37_500), (b"c", 10)]
    assert rows[1]["message"].startswith("no JSON; only the first ")
    assert [row["message"] for row in (rows[0], rows[2])] == ["no JSON", "no JSON"]


def test_one_message_holds_no_more_than_its_share_of_payload() -> None:
    half = b"x" * (MOST_BYTES // 2)
    parts = list(in_parts(batch(half, half, b"y", b"z" * (MOST_BYTES + 1)).rejects))

    assert [[reject.index for reject in part] for part in parts] == [[0, 1], [2], [3]]
    assert len(parts[2][0].payload) == MOST_BYTES


def test_a_lake_that_is_away_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, failures = World(tmp_path), iter([StoreError("away"), StoreError("away")])
    real = Lake.checkpoints

    def checkpoints(lake: Lake, kind: Kind) -> object:
        if failure := next(failures, None):
            raise failure
        return real(lake, kind)

    monkeypatch.setattr(Lake, "checkpoints", checkpoints)
    sent = batch(b"{")

    assert DeadLetterWriter(world.connections, Kind.LOGS, threading.Event())(sent) == [sent]
    world.connections.close()
