from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.journal import Journal
from agents.journal_entries import record
from agents.journald import Journald, JournalOptions
from agents.lines import Limits, Origin
from agents.positions import Position
from contracts.errors import ConfigError
from tests.agents.journalctl import FakeJournal
from tests.waiting import until

LIMITS = Limits(records=100, bytes=1 << 20, line_bytes=1 << 20)
NOBODY = Origin("", "", "", {})
PLACES = ("/usr/lib/systemd/systemd-journald", "/lib/systemd/systemd-journald")


@pytest.fixture
def journal(tmp_path: Path) -> FakeJournal:
    return FakeJournal(tmp_path)


@pytest.fixture
def opened(journal: FakeJournal) -> Any:
    readers: list[Journald] = []

    def build(cursor: str = "", follow: bool = False, **options: Any) -> Journald:
        known = Position("journald:", 0, 0, cursor=cursor) if cursor else None
        given = JournalOptions(program=str(journal.program), **options)
        readers.append(Journald(given, NOBODY, LIMITS, known, Journal("test", "error"), follow))
        return readers[-1]

    yield build
    for reader in readers:
        reader.close()


def records_of(reader: Journald, done: Callable[[list[Any]], bool] | None = None) -> list[dict[str, Any]]:
    """Read until the journal's end, or until `done`, and commit each read."""
    records: list[dict[str, Any]] = []

    def look() -> bool:
        parts, position, _ = reader.take(0.0, 5)
        records.extend(json.loads(line) for part in parts for line in part.payload.splitlines())
        if position:
            reader.commit(position)
        return done(records) if done else reader.at_end()

    until(look, "the journal being read")
    return records


def bodies(records: list[dict[str, Any]]) -> list[str]:
    return [each["body"] for each in records]


def test_an_entry_becomes_a_record_with_level_time_service_and_host(journal: FakeJournal, opened: Any) -> None:
    journal.write(
        "Failed password for root", PRIORITY="3", _SYSTEMD_UNIT="ssh.service", SYSLOG_IDENTIFIER="sshd", _PID="77",
        _TRANSPORT="syslog", SYSLOG_FACILITY="4", REQUEST_ID="abc", _SELINUX_CONTEXT="x",
    )  # fmt: skip

    (found,) = records_of(opened())

    assert found == {
        "body": "Failed password for root",
        "timestamp": 1_796_067_607_000_001,
        "observed_timestamp": 5,
        "severity_number": 17,
        "severity_text": "ERROR",
        "service": "ssh",
        "host": "node1",
        "attributes": {
            "systemd.unit": "ssh.service",
            "syslog.identifier": "sshd",
            "process.pid": 77,
            "journald.transport": "syslog",
            "syslog.facility.code": 4,
            "request_id": "abc",
        },
    }


def test_the_level_that_journald_gives_to_standard_output_is_not_sent(journal: FakeJournal, opened: Any) -> None:
    journal.write("ERROR cannot connect", PRIORITY="6", _TRANSPORT="stdout")
    journal.write("begin", PRIORITY="6", _TRANSPORT="journal")
    journal.write("told by sd-daemon", PRIORITY="4", _TRANSPORT="stdout")

    first, second, third = records_of(opened())

    assert "severity_text" not in first
    assert (second["severity_text"], third["severity_text"]) == ("INFO", "WARN")


@pytest.mark.parametrize(
    ("message", "body"),
    [
        ([104, 195, 169], "hé"),
        ([255, 65], "\ufffdA"),
        (None, ""),
        (["a", "b"], "a\nb"),
        ([], ""),
        (7, ""),
        ({"a": 1}, ""),
    ],
)
def test_a_message_of_any_kind_becomes_a_text(journal: FakeJournal, opened: Any, message: object, body: str) -> None:
    journal.write(message)

    assert bodies(records_of(opened())) == [body]


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    made = json.loads(record({"__CURSOR": "x", "MESSAGE": [255, 65]}, NOBODY, 5))

    assert made["attributes"]["headwater.body.raw"] == "/0E="


def test_a_start_goes_on_behind_the_cursor(journal: FakeJournal, opened: Any) -> None:
    journal.write("one", "two", "three")
    first = opened()
    assert bodies(records_of(first)) == ["one", "two", "three"]
    journal.write("four")

    again = opened(first.cursor)

    assert bodies(records_of(again)) == ["four"]
    assert again.gaps == 0


def test_a_read_that_was_not_stored_is_read_again(journal: FakeJournal, opened: Any) -> None:
    journal.write("one")
    reader = opened()
    until(lambda: reader.take(0.0, 5)[1], "the entry")

    assert reader.cursor == ""
    assert bodies(records_of(opened(reader.cursor))) == ["one"]


def test_entries_are_followed(journal: FakeJournal, opened: Any) -> None:
    journal.write("before")
    reader = opened(follow=True, begin="end")
    until(lambda: not reader.take(0.0, 5)[2] and any("--follow" in call for call in journal.calls()), "the start")
    journal.write("after")

    assert bodies(records_of(reader, lambda found: len(found) == 1)) == ["after"]


def test_a_cursor_that_journald_has_deleted_is_counted_and_the_oldest_entry_is_next(
    journal: FakeJournal, opened: Any
) -> None:
    journal.write("one", "two", "three")
    reader = opened("s=1;i=1")
    journal.forget(2)

    assert bodies(records_of(reader)) == ["three"]
    assert reader.gaps == 1


def test_a_cursor_that_cannot_be_read_begins_anew(journal: FakeJournal, opened: Any) -> None:
    journal.write("one")
    reader = opened("bad")

    assert bodies(records_of(reader)) == ["one"]
    assert reader.gaps == 1


def test_lines_that_are_no_entry_are_skipped_and_counted(journal: FakeJournal, opened: Any) -> None:
    journal.write("one")
    for line in ("-- reboot --", "[]", '{"MESSAGE": "no cursor"}', "{" * 3000):
        journal.write_line(line)
    journal.write("two")
    reader = opened()

    assert bodies(records_of(reader)) == ["one", "two"]
    assert reader.skipped == 4


def test_a_message_of_megabytes_is_cut_and_flagged_and_the_next_is_read(journal: FakeJournal, opened: Any) -> None:
    journal.write("x" * 3_000_000, "next")

    long, following = records_of(opened())

    assert len(long["body"]) < 1_000_000
    assert long["attributes"]["headwater.line.flag"] == "cut"
    assert following["body"] == "next"


def test_a_journalctl_that_ends_is_started_again_after_a_pause(journal: FakeJournal, opened: Any) -> None:
    reader = opened(follow=True)
    journal.write("one")
    assert bodies(records_of(reader, lambda found: len(found) == 1)) == ["one"]
    reader._process.kill()
    until(lambda: not reader.take(1.0, 5)[2] and reader._process is None, "the end being seen")
    journal.write("two")
    found: list[str] = []

    def look() -> bool:
        parts, position, _ = reader.take(100.0, 5)
        found.extend(json.loads(line)["body"] for part in parts for line in part.payload.splitlines())
        return bool(position)

    until(look, "the new journalctl")
    assert found == ["two"]


def test_a_machine_without_journalctl_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not on this machine"):
        Journald(JournalOptions(program=str(tmp_path / "none")), NOBODY, LIMITS, None, Journal("test", "error"))


class RealJournal:
    """systemd's journald with a /run of its own, below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "systemd" / "journal" / "dev-log"
        self.directory = folder / "log" / "journal"
        for path in (self.socket.parent, self.directory):
            path.mkdir(parents=True)
        command = f"mount --bind {folder} /run && exec {JOURNALD}"
        self._process = subprocess.Popen(["unshare", "--mount", "sh", "-c", command], stderr=subprocess.PIPE)
        until(lambda: self.socket.exists() or self._process.poll() is not None, "journald being there")
        if self._process.poll() is not None:
            self.close()
            pytest.skip("a journald of its own cannot be started here: needs root and mount namespaces")

    def write(self, text: str) -> None:
        subprocess.run(["logger", "-u", str(self.socket), "-t", "shop", "-p", "user.err", text], check=True, timeout=20)

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=20)


JOURNALD = next((str(path) for path in map(Path, PLACES) if path.exists()), "")


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealJournal]:
    if not JOURNALD or not all(map(shutil.which, ("journalctl", "logger", "unshare"))):
        pytest.skip("journald, journalctl, logger or unshare is not on this machine")
    journal = RealJournal(tmp_path / "run")
    yield journal
    journal.close()


def test_a_real_journal_is_read_and_a_second_start_goes_on_behind_the_cursor(real: RealJournal) -> None:
    def read(cursor: str, last: str) -> tuple[list[dict[str, Any]], str]:
        """The records of our program up to `last`, and the cursor."""
        known = Position("journald:", 0, 0, cursor=cursor) if cursor else None
        options = JournalOptions(directory=str(real.directory))
        reader = Journald(options, NOBODY, LIMITS, known, Journal("test", "error"))
        try:
            found = records_of(reader, lambda records: last in bodies(records))
        finally:
            reader.close()
        assert reader.gaps == 0
        return [record for record in found if record["service"] == "shop"], reader.cursor

    for text in ("one", "two"):
        real.write(text)
    first, cursor = read("", "two")
    real.write("three")
    second, _ = read(cursor, "three")

    assert (bodies(first), bodies(second)) == (["one", "two"], ["three"])
    assert {record["severity_text"] for record in first + second} == {"ERROR"}
