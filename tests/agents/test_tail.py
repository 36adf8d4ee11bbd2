"""Tail: every byte of every file once, whatever happens to the files."""

from __future__ import annotations

import base64
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.lines import FLAG, RAW
from tests.agents.server import Sink

Ship = Callable[..., int]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "app.log"


def append(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))


def records(sink: Sink) -> list[dict[str, Any]]:
    return [record for _, record in sorted(sink.by_sequence().items(), key=lambda item: item[0])]


def test_a_second_run_reads_only_what_is_new(sink: Sink, ship: Ship, log: Path) -> None:
    append(log, "one")
    ship(log)
    ship(log)
    append(log, "two")
    ship(log)
    assert sink.bodies() == ["one", "two"]
    assert sorted(sink.by_sequence()) == [(0, 0), (0, 1)]


def test_positions_of_files_outside_the_globs_of_a_run_are_kept(sink: Sink, ship: Ship, log: Path) -> None:
    other = log.with_name("other.log")
    append(log, "one")
    append(other, "two")
    for path in (log, other, log, other):
        ship(path)
    assert sink.bodies() == ["one", "two"]


def test_a_renamed_file_is_read_to_its_end_and_not_again(sink: Sink, ship: Ship, log: Path) -> None:
    append(log, "one")
    ship(log)
    append(log, "two")
    log.rename(log.with_name("app.log.1"))
    append(log, "three")
    ship(log.with_name("app.log*"))
    assert sorted(sink.bodies()) == ["one", "three", "two"]


def test_a_file_renamed_out_of_the_globs_several_times_while_away_is_read_to_its_end(
    sink: Sink, ship: Ship, log: Path
) -> None:
    append(log, "one")
    ship(log)
    append(log, "two")
    log.rename(log.with_name("old.1")).rename(log.with_name("older.2"))
    append(log, "three")
    ship(log)
    assert sorted(sink.bodies()) == ["one", "three", "two"]


def test_a_truncated_file_is_a_new_generation(sink: Sink, ship: Ship, log: Path) -> None:
    append(log, "one", "two")
    ship(log)
    log.write_text("3\n")
    ship(log)
    assert sink.bodies() == ["one", "two", "3"]


def test_a_file_rewritten_longer_than_it_was_is_a_new_generation(sink: Sink, ship: Ship, log: Path) -> None:
    append(log, "one")
    ship(log)
    inode = log.stat().st_ino
    log.write_text("other\nbytes\nand more\n")
    assert log.stat().st_ino == inode
    ship(log)
    assert sink.bodies() == ["one", "other", "bytes", "and more"]


def test_a_file_that_only_begins_differently_is_a_new_generation(sink: Sink, ship: Ship, log: Path) -> None:
    append(log, "first", *["same"] * 100)
    ship(log)
    with log.open("r+") as file:
        file.write("other")
    ship(log)
    assert sink.bodies() == ["first", *["same"] * 100, "other", *["same"] * 100]


def test_a_reused_inode_is_another_file(sink: Sink, ship: Ship, log: Path) -> None:
    append(log, "line of the first file")
    ship(log)
    with log.open("r+") as file:  # the same inode under another name, with other bytes and at least as long
        file.write("line of the other file\nand one more\n")
    log.rename(log.with_name("new.log"))
    ship(log.with_name("*.log"))
    assert sink.bodies() == ["line of the first file", "line of the other file", "and one more"]


def test_a_copy_made_by_copytruncate_gives_only_what_was_not_read(sink: Sink, ship: Ship, log: Path) -> None:
    append(log, *(f"line {i} of the first file" for i in range(100)))
    ship(log.with_name("app.log*"))
    append(log, "written before the copy")
    shutil.copy(log, log.with_name("app.log.1"))
    os.truncate(log, 0)
    append(log, "after")
    ship(log.with_name("app.log*"))
    assert sink.bodies()[:100] == [f"line {i} of the first file" for i in range(100)]
    assert sorted(sink.bodies()[100:]) == ["after", "written before the copy"]


def test_two_files_with_the_same_bytes_are_two_files(sink: Sink, ship: Ship, log: Path) -> None:
    append(log, *(f"line {i}" for i in range(500)))
    shutil.copy(log, log.with_name("copy.log"))
    ship(log.with_name("*.log"))
    assert len(sink.bodies()) == 1000


def test_a_last_line_without_newline_is_sent_after_the_hold_and_its_rest_is_marked(
    sink: Sink, ship: Ship, log: Path
) -> None:
    log.write_text("whole\nbegun")
    ship(log)
    append(log, " and ended", "next")
    ship(log)
    assert [(r["body"], r["attributes"].get(FLAG)) for r in records(sink)] == [
        ("whole", None),
        ("begun", "partial"),
        (" and ended", "end"),
        ("next", None),
    ]


def test_a_line_longer_than_the_limit_is_split_over_reads(sink: Sink, ship: Ship, log: Path) -> None:
    text = "é" * (700 << 10)
    append(log, "before", text, "after")
    ship(log, agent_line_kib=300)
    found = records(sink)
    assert [found[0]["body"], found[-1]["body"]] == ["before", "after"]
    assert "".join(record["body"] for record in found[1:-1]) == text
    assert [record["attributes"][FLAG] for record in found[1:-1]] == ["split"] * (len(found) - 3) + ["end"]


def test_bytes_that_are_no_text_reach_the_service(sink: Sink, ship: Ship, log: Path) -> None:
    log.write_bytes(b"ok\n\xff\x00\xc3\n")
    ship(log)
    assert base64.b64decode(records(sink)[1]["attributes"][RAW]) == b"\xff\x00\xc3"


def test_a_file_whose_name_is_no_utf_8_is_read(sink: Sink, ship: Ship, log: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(log.parent) + b"/b\xe4r.log"))
    for line in ("one", "two"):
        append(path, line)
        ship(log.with_name("*.log"))
    path.rename(path.with_suffix(".log.1"))
    ship(log.with_name("*.log*"))
    assert sink.bodies() == ["one", "two"]
    assert records(sink)[0]["attributes"]["log.file.name"] == "b\\xe4r.log"


def test_many_small_lines_and_many_files_arrive_in_order_by_file(sink: Sink, ship: Ship, log: Path) -> None:
    for number in range(20):
        append(log.with_name(f"{number}.log"), *(f"{number}:{i}" for i in range(9_000 if number == 0 else 50)))
    ship(log.with_name("*.log"))
    found = sink.bodies()
    assert len(found) == 9_000 + 19 * 50
    for number in range(20):
        mine = [body for body in found if body.startswith(f"{number}:")]
        assert mine == [f"{number}:{i}" for i in range(len(mine))]


def test_compressed_files_and_folders_are_left_alone(sink: Sink, ship: Ship, log: Path) -> None:
    append(log, "one")
    log.with_name("app.log.2.gz").write_bytes(b"\x1f\x8b")
    log.with_name("app.log.d").mkdir()
    ship(log.with_name("app.log*"))
    assert sink.bodies() == ["one"]


def test_a_file_that_cannot_be_read_for_a_time_ends_no_agent_and_keeps_its_position(
    sink: Sink, ship: Ship, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = log.with_name("other.log")
    append(log, "one")
    ship(log.parent / "*")
    append(log, "two")
    append(other, "of another file")
    broken, read = log.stat().st_ino, os.pread

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        if os.fstat(descriptor).st_ino == broken:
            raise OSError(errno.EIO, "Input/output error")
        return read(descriptor, size, offset)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", pread)
        ship(log.parent / "*")
    assert sink.bodies() == ["one", "of another file"]
    ship(log.parent / "*")
    assert sink.bodies() == ["one", "of another file", "two"]


def test_a_file_whose_handle_is_stale_ends_no_agent(
    sink: Sink, ship: Ship, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NFS, where another machine has removed the file."""
    other, status = log.with_name("other.log"), os.fstat
    append(log, "one")
    append(other, "of another file")
    stale = log.stat().st_ino

    def fstat(descriptor: int) -> os.stat_result:
        found = status(descriptor)
        if found.st_ino == stale and sink.bodies():
            raise OSError(errno.ESTALE, "Stale file handle")
        return found

    monkeypatch.setattr(os, "fstat", fstat)
    assert ship(log.parent / "*") == 0
    assert sorted(sink.bodies()) == ["of another file", "one"]
