"""Messages of the bus file lose records, and no byte of these stays, beside readers and writers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import bus.sqlite.erase as sqlite_erase
from bus.sqlite.bus import SqliteBus
from bus.sqlite.erase import erase, scrub
from contracts.errors import BusError
from contracts.messages import Message
from contracts.settings import load_settings

SECRET = b"zq7secret"


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[SqliteBus]:
    settings = load_settings(_env_file=None, bus_partitions=1, bus_group_commit_ms=0, bus_retention_h=0.000001)
    with contextlib.closing(SqliteBus(tmp_path / "bus.db", settings)) as opened:
        yield opened


def payloads(bus: SqliteBus, first: int = 0) -> list[bytes]:
    with contextlib.closing(bus.reader("t", 0, first)) as reader:
        return [message.payload for message in reader.poll(10_000, 1 << 30)]


def blanked(_partition: int, message: Message) -> Message | None:
    return replace(message, payload=message.payload.replace(SECRET, b"")) if SECRET in message.payload else None


def disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


def fill(bus: SqliteBus) -> None:
    for at in range(200):  # in pages of their own and in shared ones, so that pages split and are moved
        body = b"%d of %s%s" % (at, SECRET if at % 3 == 0 else b"others", b"x" * (at * 37 % 9000))
        bus.append("t", "k", [Message(body, {"at": str(at)})])


def test_what_is_blanked_trimmed_or_moved_leaves_no_byte_behind(bus: SqliteBus, tmp_path: Path) -> None:
    fill(bus)
    bus.trim("t", {0: 50})
    before = payloads(bus, 50)
    assert SECRET in disk(tmp_path)

    counts = erase(tmp_path / "bus.db", "t", blanked)
    scrub(tmp_path / "bus.db")

    assert counts == (150, 50)
    assert SECRET not in disk(tmp_path)
    assert payloads(bus, 50) == [payload.replace(SECRET, b"") for payload in before]
    assert erase(tmp_path / "bus.db", "t", blanked) == (150, 0)


def test_appends_and_readers_go_on_meanwhile(bus: SqliteBus, tmp_path: Path) -> None:
    fill(bus)
    stop, sent = threading.Event(), [200]

    def append() -> None:
        while not stop.is_set():
            bus.append("t", "k", [Message(b"new")])
            sent[0] += 1

    writer = threading.Thread(target=append)
    writer.start()
    try:
        erase(tmp_path / "bus.db", "t", blanked)
        scrub(tmp_path / "bus.db")
        assert len(payloads(bus)) >= 200
    finally:
        stop.set()
        writer.join()

    assert len(payloads(bus)) == sent[0]
    assert bus.identity("t")


def test_a_disk_without_room_for_a_copy_is_said_and_nothing_is_harmed(
    bus: SqliteBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bus)
    monkeypatch.setattr(sqlite_erase, "COPIES", 1 << 40)

    with pytest.raises(BusError, match="MiB are free"):
        scrub(tmp_path / "bus.db")

    assert len(payloads(bus)) == 200
