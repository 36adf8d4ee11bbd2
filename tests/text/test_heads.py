"""Heads: whether a line has a time, a level or a structure of its own."""

from __future__ import annotations

import pytest

from text.heads import UNUSUAL, find_timed, has_own_head, has_time


@pytest.mark.parametrize(
    "line",
    [
        " INFO [main] c.e.App - up",
        "    WARNING: disk",
        "  ERROR",
        "\tDEBUG|x",
        " [error] x",
        " <WARN> x",
        "  2026-11-30 19:40:07,123 x",
        "  [2026-11-30T19:40:07Z] x",
        "  19:40:07.123 x",
        " Nov 30 19:40:07 x",
        "  \x1b[32mINFO\x1b[0m x",
        '  {"level":"info"}',
        "  level=info msg=x",
        " 1796067607123 x",
    ],
)
def test_a_line_after_blanks_has_a_head_of_its_own(line: str) -> None:
    assert has_own_head(line.encode())


@pytest.mark.parametrize(
    "line",
    [
        "\tat com.example.Shop.buy(Shop.java:41)",
        "    ERROR = 3",
        "    INFORMATION",
        '    raise ValueError("ERROR: x")',
        '  "level": "info",',
        "    self.run(a=1, b=2)",
        "    x = 1",
        "  {",
        "  10 rows",
        "  info: x",
        "   at App.Main() in /app/a.cs:line 3",
    ],
)
def test_a_line_after_blanks_has_no_head_of_its_own(line: str) -> None:
    assert not has_own_head(line.encode())


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-30 19:40:07 x",
        "INFO 2026-11-30 19:40:07 x",
        "[INFO]\t2026-11-30T19:40:07.123Z\t8f5a\tx",
        "1.796067607123e+09\tINFO\tsetup\tx",
        "[2026-11-30][19:40:07][app][ERROR] x",
        '192.0.2.1 - - [30/Nov/2026:19:40:07 +0000] "GET / HTTP/1.1" 200 3',
        "level=info ts=2026-11-30T19:40:07Z",
        'time="2026-11-30T19:40:07Z" level=info',
        "1:M 30 Nov 2026 19:40:07.123 * x",
        "30-Nov-2026 19:40:07.123 INFO x",
        "F, [2026-11-30T19:40:07.1 #1] FATAL x",
        "<34>1 2026-11-30T19:40:07Z host x",
        "E1130 19:40:07.123456 1 x.go:3] x",
        "[30-Nov-2026 19:40:07 UTC] x",
        "Nov 30, 2026 7:40:07 PM x",
        "1796067607.123 x",
        '{"a":1}',
    ],
)
def test_a_time_among_the_first_words_is_seen(line: str) -> None:
    assert has_time(line.encode())
    assert find_timed(f"\nplain\n{line}\n".encode(), 0, 8 + len(line)) == 6


@pytest.mark.parametrize(
    "line", ["plain words", "12 rows", "[main] INFO x", "took 10:20", "2026 was long", "x=1 y=2", ""]
)
def test_a_line_without_a_time_is_seen(line: str) -> None:
    assert not has_time(line.encode())


def test_lines_with_one_of_the_usual_times_are_passed_over() -> None:
    usual = ["2026-11-30T19:40:07Z x", "[2026-11-30 19:40:07] x", "Nov  3 19:40:07 x", "I1130 19:40:07.1 x", '{"a":1}']
    block = "".join(f"\n{line}" for line in usual).encode()
    assert UNUSUAL.search(block) is None
    found = UNUSUAL.search(block + b"\nplain")
    assert found
    assert found.start() == len(block)
