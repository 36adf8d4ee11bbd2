"""Lines: bytes -> records, with nothing lost of what the bytes were."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.lines import FLAG, PART, RAW, Limits, LineEncoder, Origin, Part, begun_character
from contracts.records import SentLog

ORIGIN = Origin("shop", "test", "h1", {"log.file.name": "app.log"})


def encoder(records: int = 1000, size: int = 1 << 20, line: int = 256 << 10) -> LineEncoder:
    return LineEncoder(ORIGIN, Limits(records, size, line))


def records(parts: list[Part]) -> list[dict[str, Any]]:
    decoded: list[dict[str, Any]] = []
    for part in parts:
        lines = part.payload.splitlines()
        assert len(lines) == part.count
        for line in lines:
            msgspec.json.decode(line, type=SentLog)
            decoded.append(msgspec.json.decode(line))
    return decoded


def bodies(parts: list[Part]) -> list[str]:
    return [record["body"] for record in records(parts)]


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1), max_size=30))
def test_any_text_comes_back_as_it_was(lines: list[str]) -> None:
    kept = [line.removesuffix("\r") for line in lines if line.removesuffix("\r")]
    assert bodies(encoder().pack("\n".join(lines).encode(), 1)) == kept


@given(st.binary(max_size=300))
def test_any_bytes_can_be_given_back(data: bytes) -> None:
    lines = [line.removesuffix(b"\r") for line in data.split(b"\n")]
    found = records(encoder().pack(data, 1))
    raw = [
        base64.b64decode(record["attributes"][RAW]) if RAW in record["attributes"] else record["body"].encode()
        for record in found
    ]
    assert raw == [line for line in lines if line]


def test_borders_inside_a_body_do_not_split_it() -> None:
    tricky = ['a","b', '"', "\\", '\\"', '","', "x\\", '{"body":"y"}', "\u2028\x85\x0b", ",", ",", ",,", "x,"]
    assert bodies(encoder().pack("\n".join(tricky).encode(), 1)) == tricky


def test_invalid_utf8_is_replaced_and_the_raw_bytes_are_kept_beside_it() -> None:
    good, bad = records(encoder().pack(b"good\n\xff\xfebad", 1))
    assert RAW not in good["attributes"]
    assert bad["body"] == "\ufffd\ufffdbad"
    assert base64.b64decode(bad["attributes"][RAW]) == b"\xff\xfebad"
    assert bad["attributes"]["log.file.name"] == "app.log"


def test_parts_keep_to_the_limits_of_records_and_bytes() -> None:
    data = b"\n".join(b"x" * 100 for _ in range(95))
    assert [part.count for part in encoder(records=10).pack(data, 1)] == [10] * 9 + [5]
    parts = encoder(size=2000).pack(data, 1)
    assert sum(part.count for part in parts) == 95
    assert max(len(part.payload) for part in parts) <= 2000


@pytest.mark.parametrize("text", ["x" * 2500, "é" * 1250, "\x01" * 2500])
def test_a_long_line_is_split_into_flagged_numbered_pieces_at_whole_characters(text: str) -> None:
    before, *pieces, after = records(encoder(line=1000).pack(f"before\n{text}\nafter".encode(), 1))
    assert before["body"] == "before"
    assert after["body"] == "after"
    assert "".join(piece["body"] for piece in pieces) == text
    assert [piece["attributes"][PART] for piece in pieces] == [1, 2, 3]
    assert [piece["attributes"][FLAG] for piece in pieces] == ["split", "split", "end"]
    assert [piece.get("preceding_text") for piece in pieces] == [None, text[:256], text[:256]]


def test_a_line_that_grows_past_what_a_service_accepts_is_split_further() -> None:
    text = "\x01" * (250 << 10)
    found = records(encoder().pack(text.encode(), 1))
    assert len(found) == 2
    assert "".join(record["body"] for record in found) == text


def test_a_piece_of_a_line_begun_earlier_goes_on_counting() -> None:
    (end,) = records(encoder().piece(b"rest", 1, 2, "end"))
    assert (end["attributes"][FLAG], end["attributes"][PART]) == ("end", 3)


def test_records_carry_the_zone_of_the_machine_and_the_start_of_the_record_before() -> None:
    zoned = LineEncoder(Origin("shop", "", "", {}, "Asia/Kolkata"), Limits(10, 1 << 20, 1 << 18))
    for parts in (zoned.pack(b"one\ntwo", 1, "10:00 zero"), zoned.piece(b"one\n\ttwo", 1, 0, "", "10:00 zero")):
        for record in records(parts):
            assert (record["observed_timezone"], record["preceding_text"]) == ("Asia/Kolkata", "10:00 zero")


@pytest.mark.parametrize("text", ["aé", "a€", "a😀", "é"])
def test_a_character_whose_end_is_not_there_yet_is_found(text: str) -> None:
    data = text.encode()
    begin = len(text[:-1].encode())
    assert begun_character(data) == len(data)
    for missing in range(1, len(data) - begin):
        assert begun_character(data[:-missing]) == begin
