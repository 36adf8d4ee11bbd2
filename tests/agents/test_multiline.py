"""Multiline: which lines are one record."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.between import Between, Open
from agents.joining import Joining, joining
from agents.multiline import join
from contracts.errors import ConfigError

AUTO = joining("auto", 2000, 256 << 10, 1.0)
TRACES = Path(__file__).parent / "traces"


def records(data: bytes, how: Joining = AUTO, between: Between | None = None) -> list[str]:
    joined = join(data, how, between or Between(), flush=True)
    assert joined.size == len(data)
    found: list[str] = []
    for run in joined.runs:
        text = run.data.decode()
        found += [text] if run.joined else [line for line in map(_without_return, text.split("\n")) if line]
    return found


def _without_return(line: str) -> str:
    return line.removesuffix("\r")


@pytest.mark.parametrize("path", sorted(TRACES.glob("*.log")), ids=lambda path: path.stem)
def test_a_trace_is_one_record_with_the_line_before_it(path: Path) -> None:
    """Records of the files are apart by a line of `====`, which is taken out."""
    wanted = [part.strip("\n") for part in path.read_text().split("====\n")]
    data = path.read_bytes().replace(b"====\n", b"")
    assert records(data) == wanted
    assert records(data.replace(b"\n", b"\r\n")) == wanted


@pytest.mark.parametrize(
    "lines",
    [
        [" INFO 2026-11-30 19:40:07,123 [main] a", " WARN 2026-11-30 19:40:07,124 [main] b", "ERROR 2026-11-30 c"],
        ["  INFO [main] a.B: started", " ERROR [main] a.B: failed", "  WARN - x"],
        ["first", '  {"level":"info","msg":"a"}', "\t2026-11-30T19:40:07Z b", "  level=info msg=a", " [error] c"],
        ["2026-11-30 19:40:07 INFO a", "plain words", "other words", "12 rows"],
        [
            "Next step: build",
            "created by alice",
            "at noon",
            "main thread",
            "example.com/index.html",
            "Error: x",
            "done",
        ],
        ["[1/3] build", "(none)", "- item", "> quoted", "* item", "Errors: 3", "exit", "http: ok", "panicked"],
        ['{"level":"error","msg":"a"}', "\tat com.example.Shop.buy(Shop.java:41)"],
    ],
)
def test_lines_with_a_head_of_their_own_stay_apart(lines: list[str]) -> None:
    assert records("".join(f"{line}\n" for line in lines).encode()) == lines


def test_none_takes_each_line_for_a_record() -> None:
    how = joining("none", 2000, 1 << 20, 1.0)
    assert records(b"a\n\tb\nCaused by: c\n", how) == ["a", "\tb", "Caused by: c"]


def test_a_pattern_matches_the_first_line_of_each_record() -> None:
    how = joining(r"\d+ ", 2000, 1 << 20, 1.0)
    assert records(b"x\n1 a\nb 2\n c\n2 d\n", how) == ["x", "1 a\nb 2\n c", "2 d"]


@pytest.mark.parametrize(("pattern", "reason"), [("(", "cannot be read"), ("a*", "empty line")])
def test_a_pattern_that_cannot_serve_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        joining(pattern, 2000, 1 << 20, 1.0)


def test_the_last_record_is_held_back_unless_nothing_can_continue_it() -> None:
    assert join(b"a\nb\n", AUTO, Between(), flush=False).size == 2
    assert join(b"a\n\tb\n", AUTO, Between(), flush=False).size == 0
    assert join(b'a\n{"b":1}\n', AUTO, Between(), flush=False).size == 10


def test_a_record_past_a_limit_is_cut_between_lines_and_its_pieces_are_counted() -> None:
    how = joining("auto", 3, 1 << 20, 1.0)
    joined = join(b"a\n" + b"\tx\n" * 7 + b"b\n", how, Between(), flush=True)
    assert [(run.data, run.part, run.flag) for run in joined.runs[:-1]] == [
        (b"a\n\tx\n\tx", 0, "split"),
        (b"\tx\n\tx\n\tx", 1, "split"),
        (b"\tx\n\tx", 2, "end"),
    ]
    assert joined.runs[-1].data == b"b"


def test_the_pieces_of_a_record_carry_its_start() -> None:
    how = joining("auto", 3, 1 << 20, 1.0)
    joined = join(b"2026-11-30 19:40:07 a\n" + b"\tx\n" * 4, how, Between(), flush=True)
    assert [run.preceding for run in joined.runs] == ["", "2026-11-30 19:40:07 a"]


def test_lines_that_come_too_late_are_the_end_of_the_record_before() -> None:
    first = join(b"2026-11-30 19:40:07 a\n\tb\n", AUTO, Between(), flush=True)
    (late,) = join(b"\tc\n", AUTO, first.between, flush=True).runs
    assert (late.data, late.part, late.flag) == (b"\tc", 1, "end")
    assert late.preceding == "2026-11-30 19:40:07 a"


def test_the_state_of_a_trace_is_kept_between_two_reads() -> None:
    between = Between({"": Open(1, "go")})
    assert records(b"main.run(0x1)\n\t/a.go:3 +0x1\nnext\n", AUTO, between) == ["main.run(0x1)\n\t/a.go:3 +0x1", "next"]


def test_a_place_in_go_lets_names_of_functions_follow() -> None:
    trace = "failed\nmain.main\n\t/app/main.go:5\nnet/http.HandlerFunc.ServeHTTP\n\t/go/server.go:9"
    assert records(f"{trace}\nnext\n".encode()) == [trace, "next"]


def test_records_without_a_time_get_the_start_of_the_last_one_that_has_one() -> None:
    timed = "2026-11-30 19:40:07 " + "é" * 300
    text = f"zero\n{timed}\none\ntwo\n2026-11-30 19:40:08 x\nINFO 2026-11-30 19:40:09 y\nthree\n"
    joined = join(text.encode(), AUTO, Between(), flush=True)
    assert [(run.data.decode(), run.preceding) for run in joined.runs] == [
        ("zero", ""),
        (timed, ""),
        ("one\ntwo", timed[:256]),
        ("2026-11-30 19:40:08 x\nINFO 2026-11-30 19:40:09 y", ""),
        ("three", "INFO 2026-11-30 19:40:09 y"),
    ]
    (later,) = join(b"four\n", AUTO, joined.between, flush=True).runs
    assert (later.data, later.preceding) == (b"four", "INFO 2026-11-30 19:40:09 y")
