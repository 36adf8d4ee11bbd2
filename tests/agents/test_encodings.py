"""Encodings: each line once and right, wherever a read ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agents import FileOptions
from agents.encodings import checked, encoding_of
from agents.lines import FLAG
from contracts.errors import ConfigError
from contracts.settings import Settings
from tests.agents.server import Sink
from tests.agents.test_run import command, running
from tests.agents.test_tail import records
from tests.waiting import until

Ship = Callable[..., int]
LINES = ["first ä", "", "漢字 second", "上一个 ok", "last"]
TEXT = "".join(f"{line}\n" for line in LINES)
READ = [line for line in LINES if line]
LATIN = ["größe 1", "señor", "last"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.mark.parametrize("name", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_byte_order_mark_tells_the_encoding(sink: Sink, ship: Ship, log: Path, name: str, newline: str) -> None:
    log.write_bytes(TEXT.replace("\n", newline).encode(name))
    ship(log)
    assert sink.bodies() == READ


@pytest.mark.parametrize(
    "name",
    ["utf-16-le", "utf-16-be", "UTF-16", "utf-32-be", "gb18030", "gbk", "shift_jis", "big5", "euc-jp", "iso-2022-jp"],
)
def test_the_encoding_may_be_named(sink: Sink, ship: Ship, log: Path, name: str) -> None:
    lines = [line for line in ("漢字", "2026-11-30 error 表", "上上上 ok", "last") if _holds(name, line)]
    log.write_bytes("".join(f"{line}\r\n" for line in lines).encode(name))
    ship(log, files=FileOptions(encoding=name))
    assert sink.bodies() == lines
    assert len(lines) >= 3


def _holds(name: str, line: str) -> bool:
    try:
        return bool(line.encode(name))
    except UnicodeEncodeError:
        return False


@pytest.mark.parametrize("name", ["latin-1", "windows-1252", "cp437", "mac-roman", "cp037"])
def test_encodings_of_one_byte_are_read(sink: Sink, ship: Ship, log: Path, name: str) -> None:
    log.write_bytes("".join(f"{line}\n" for line in LATIN).encode(name))
    ship(log, files=FileOptions(encoding=name))
    assert sink.bodies() == LATIN


@pytest.mark.parametrize("name", ["utf-16", "utf-16-be", "gbk"])
def test_characters_that_are_written_in_pieces_are_read_whole(
    sink: Sink, settings: Settings, log: Path, name: str
) -> None:
    data = TEXT.replace("ä", "a").encode(name)
    late = settings.model_copy(update={"agent_partial_line_s": 5.0})
    with running(late, log, files=FileOptions(encoding="auto" if name == "utf-16" else name)):
        for number in range(0, len(data), 3):
            with log.open("ab") as file:
                file.write(data[number : number + 3])
            time.sleep(0.002)  # so that the agent reads in between
        until(lambda: "last" in sink.bodies())
    assert sink.bodies() == [line.replace("ä", "a") for line in READ]


def test_a_second_run_goes_on_in_utf_16_where_the_first_stopped(sink: Sink, ship: Ship, log: Path) -> None:
    log.write_bytes("one\nbeg".encode("utf-16"))
    ship(log)
    with log.open("ab") as file:
        file.write("un\ntwo\n".encode("utf-16-le"))
    ship(log)
    assert [(record["body"], record["attributes"].get(FLAG)) for record in records(sink)] == [
        ("one", None),
        ("beg", "partial"),
        ("un", "end"),
        ("two", None),
    ]


@pytest.mark.parametrize("name", ["utf-16", "gbk", "utf-32-be"])
def test_a_line_longer_than_the_limit_is_split_between_characters(sink: Sink, ship: Ship, log: Path, name: str) -> None:
    text = "x漢字" * 3000
    log.write_bytes(f"{text}\nafter\n".encode(name))
    ship(log, agent_line_kib=2, files=FileOptions(encoding="auto" if name == "utf-16" else name))
    found = sink.bodies()
    assert "".join(found[:-1]) == text
    assert found[-1] == "after"


@pytest.mark.parametrize(
    ("first", "then", "readable"), [("utf-16", "utf-8", True), ("utf-16", "latin-1", False), ("utf-8", "latin-1", True)]
)
def test_after_a_change_of_encoding_the_lines_of_the_first_one_are_read_again(
    sink: Sink, ship: Ship, log: Path, first: str, then: str, readable: bool
) -> None:
    strange = "a plain line of another program, größe\n"
    again = "utf-16-le" if first == "utf-16" else first
    log.write_bytes("one\n".encode(first) + strange.encode(then) + "\ntwo\nthree\n".encode(again))
    ship(log)
    assert sink.bodies()[0] == "one"
    assert sink.bodies()[-2:] == ["two", "three"]
    assert any("a plain line of another program" in body for body in sink.bodies()) is readable


def test_a_file_that_goes_on_in_utf_8_is_read_on(sink: Sink, ship: Ship, log: Path) -> None:
    log.write_bytes("one\n".encode("utf-16") + "zwei größer\ndrei\n".encode())
    ship(log)
    assert sink.bodies() == ["one", "zwei größer", "drei"]


def test_bytes_that_are_no_text_of_the_encoding_are_replaced_and_the_next_line_is_read(
    sink: Sink, ship: Ship, log: Path
) -> None:
    log.write_bytes(b"ok\n\x81\xff\n" + "漢字\n".encode("gbk"))
    ship(log, files=FileOptions(encoding="gbk"))
    assert sink.bodies() == ["ok", "�" * 2, "漢字"]


def test_from_end_of_a_file_in_utf_16_begins_at_a_line(sink: Sink, ship: Ship, log: Path) -> None:
    log.write_bytes("old\n".encode("utf-16"))
    ship(log, files=FileOptions(begin="end"))
    with log.open("ab") as file:
        file.write("new\n".encode("utf-16-le"))
    ship(log)
    assert sink.bodies() == ["new"]


def test_a_file_truncated_and_written_in_another_encoding_is_read(sink: Sink, ship: Ship, log: Path) -> None:
    log.write_bytes("one\n".encode("utf-16"))
    ship(log)
    log.write_text("two\n")
    ship(log)
    assert sink.bodies() == ["one", "two"]


@pytest.mark.parametrize("name", ["no-such", "base64", "rot13", "punycode", "undefined", "", "unicode_escape"])
def test_a_name_that_is_no_encoding_of_lines_is_refused(settings: Settings, log: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="encoding") as found:
        checked(name)
    assert "such as utf-16" in str(found.value.hint)
    if name == "no-such":
        process = command(settings, "logs", "--path", str(log), "--encoding", name)
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, "Traceback" in errors) == (2, False)


def test_utf_16_without_a_mark_is_of_the_byte_order_of_its_first_character() -> None:
    assert encoding_of("utf-16", b"\0a\0b").name == "utf-16-be"
    assert encoding_of("utf-16", b"a\0b\0").name == "utf-16-le"
    assert encoding_of("auto", b"a\0b\0").name == "utf-8"
