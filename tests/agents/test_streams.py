"""Streams: lines in the envelopes of container runtimes, joined for each stream by itself."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.between import Between
from agents.follow import Follower
from agents.joining import Run, joining
from agents.lines import FLAG, PART, Limits, LineEncoder, Origin
from agents.multiline import join
from agents.positions import Position
from agents.sources import OpenFiles, PlainFile

AUTO = joining("auto", 2000, 256 << 10, 1.0)

Line = tuple[str, str, bool]  # stream, text, is a piece


def cri(lines: list[Line]) -> bytes:
    return "".join(
        f"2026-11-30T19:40:07.{number:09}Z {stream} {'P' if piece else 'F'} {text}\n"
        for number, (stream, text, piece) in enumerate(lines)
    ).encode()


def docker(lines: list[Line]) -> bytes:
    return b"".join(
        msgspec.json.encode(
            {"log": text if piece else f"{text}\n", "stream": stream, "time": f"2026-11-30T19:40:07.{number:09}Z"}
        )
        + b"\n"
        for number, (stream, text, piece) in enumerate(lines)
    )


def inside(record: str) -> tuple[str, str]:
    """Number of the line that the envelope of a record is of, and its text."""
    if record[0] == "{":
        found = msgspec.json.decode(record)
        return found["time"][20:29].lstrip("0") or "0", found["log"].removesuffix("\n")
    head, _, text = record.partition(" F ")
    assert " P " not in head
    return head[20:29].lstrip("0") or "0", text


def texts(runs: list[Run]) -> list[tuple[str, str]]:
    records = [record for run in runs for record in ([run.data] if run.joined else run.data.split(b"\n"))]
    return [inside(record.decode()) for record in records]


def plain(lines: list[Line]) -> bytes:
    """Without envelopes, streams and pieces."""
    return b"".join(text.encode() + b"\n" for _, text, _ in lines)


ENVELOPES = pytest.mark.parametrize("envelope", [cri, docker])
Write = Callable[[list[Line]], bytes]
MIXED: list[Line] = [
    ("stderr", "ERROR no stock", False),
    ("stdout", "hello", False),
    ("stderr", "\tat Shop.buy(Shop.java:41)", False),
    ("stdout", '{"level":"error","msg":"aaa ', True),
    ("stderr", "Caused by: x", False),
    ("stdout", "bbb ", True),
    ("stdout", 'ccc"}', False),
    ("stderr", "next", False),
]


@ENVELOPES
def test_pieces_and_traces_of_mixed_streams_are_joined_in_the_envelope_of_their_first_line(envelope: Write) -> None:
    data = envelope(MIXED)
    joined = join(data, AUTO, Between(), flush=True)
    assert joined.size == len(data)
    assert texts(joined.runs) == [
        ("0", "ERROR no stock\n\tat Shop.buy(Shop.java:41)\nCaused by: x"),
        ("1", "hello"),
        ("3", '{"level":"error","msg":"aaa bbb ccc"}'),
        ("7", "next"),
    ]


@ENVELOPES
def test_pieces_are_joined_where_lines_are_not(envelope: Write) -> None:
    how = joining("none", 2000, 1 << 20, 1.0)
    joined = join(envelope(MIXED), how, Between(), flush=False)
    assert [text for _, text in texts(joined.runs)] == [
        "ERROR no stock",
        "hello",
        "\tat Shop.buy(Shop.java:41)",
        '{"level":"error","msg":"aaa bbb ccc"}',
        "Caused by: x",
        "next",
    ]


@ENVELOPES
def test_a_pattern_is_matched_against_the_text_in_the_envelope(envelope: Write) -> None:
    how = joining("[A-Z]+ ", 2000, 1 << 20, 1.0)
    joined = join(
        envelope([("stdout", "INFO a", False), ("stdout", "b", False), ("stdout", "WARN c", False)]),
        how,
        Between(),
        True,
    )
    assert [text for _, text in texts(joined.runs)] == ["INFO a\nb", "WARN c"]


@ENVELOPES
def test_a_line_of_json_waits_for_nothing(envelope: Write) -> None:
    data = envelope([("stdout", '{"level":"info"}', False)])
    assert join(data, AUTO, Between(), flush=False).size == len(data)


@ENVELOPES
def test_empty_lines_of_a_container_stay_records_unless_a_trace_goes_on_after_them(envelope: Write) -> None:
    lines = [
        "a",
        "",
        "b",
        "Traceback (most recent call last):",
        "  x",
        "E: y",
        "",
        "During handling of the above exception",
        "",
    ]
    joined = join(envelope([("stdout", line, False) for line in lines]), AUTO, Between(), flush=True)
    assert [text for _, text in texts(joined.runs)] == ["a", "", "\n".join(lines[2:8]), ""]


@ENVELOPES
def test_pieces_without_an_end_are_sent_in_bounded_records_and_the_next_line_is_read(
    tmp_path: Path, envelope: Write
) -> None:
    data = envelope([("stdout", "x" * 20, True)] * 20_000 + [("stdout", "end", False), ("stdout", "next", False)])
    found = _followed(tmp_path / "c.log", [data])
    bodies = [inside(record["body"])[1] for record in found]
    assert "".join(bodies) == "x" * 400_000 + "endnext"
    flags = [record["attributes"].get(FLAG) for record in found]
    assert flags == ["split"] * (len(found) - 2) + ["end", None]
    assert [record["attributes"].get(PART) for record in found[:-1]] == list(range(1, len(found)))


@pytest.mark.parametrize("envelope", [cri, docker, plain])
@pytest.mark.parametrize("seed", range(20))
def test_records_do_not_depend_on_how_a_file_was_read(tmp_path: Path, envelope: Write, seed: int) -> None:
    rng = random.Random(seed)
    kinds = [
        "ERROR no stock",
        "\tat x",
        "Caused by: y",
        '{"a":1}',
        "",
        "plain",
        "panic: z",
        "main.main()",
        "goroutine 1 [x]:",
    ]
    lines = [(rng.choice(["stdout", "stderr"]), rng.choice(kinds), rng.random() < 0.2) for _ in range(60)]
    data = envelope([*lines, ("stdout", "last", False), ("stderr", "last", False)])
    at_once = _followed(tmp_path / "whole.log", [data])
    cuts = sorted(rng.sample(range(len(data)), 12))
    in_parts = _followed(
        tmp_path / "parts.log", [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    )
    assert sorted(record["body"] for record in in_parts) == sorted(record["body"] for record in at_once)


def _followed(path: Path, writes: list[bytes]) -> list[dict[str, Any]]:
    """All records of a file that is read after each of `writes`, and at last until everything is taken."""
    path.touch()
    status = path.stat()
    limits = Limits(4000, 1 << 20, 256 << 10)
    encoder = LineEncoder(Origin("", "", "", {}), limits)
    source = PlainFile(OpenFiles(8), str(path), os.open(path, os.O_RDONLY))
    follower = Follower(source, Position("", status.st_dev, status.st_ino), encoder, limits, 5.0, AUTO)
    records: list[dict[str, Any]] = []

    def read(now_s: float) -> bool:
        taken = follower.take(now_s, 1)
        if taken:
            follower.commit(taken)
            records.extend(msgspec.json.decode(line) for part in taken.parts for line in part.payload.splitlines())
        return taken is not None

    for data in writes:
        with path.open("ab") as file:
            file.write(data)
        while read(0.0):
            pass
    for now_s in range(1, 20):
        read(now_s)
    assert follower.at_end()
    follower.close()
    return records
