"""The tables of docs/formats.md say of each case what the flow reads, no more and no less."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from flows.parse.line import AttributeLimits, Finder

ROOT = Path(__file__).parents[3]
NOW_NS = int(dt.datetime(2026, 11, 30, 20, tzinfo=dt.UTC).timestamp()) * 1_000_000_000
FILES = ("access", "text")
PAGE = (ROOT / "docs" / "formats.md").read_text()


def cases(name: str) -> list[dict[str, Any]]:
    lines = (ROOT / "tests" / "cases" / "lines" / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def row(case: dict[str, Any]) -> str:
    """As the page shows it; of attributes those that the case names."""
    found = Finder(AttributeLimits(256, 16)).find(case["line"], NOW_NS)
    attributes = ", ".join(f"`{key}`" for key in case.get("expect", {}) if key in found.attributes)
    level = (found.severity or (0, ""))[1]
    return f"| {case['name']} | {level or '–'} | {'–' if found.time_ns is None else 'yes'} | {attributes or '–'} |"


@pytest.mark.parametrize("case", [case for name in FILES for case in cases(name)], ids=lambda case: case["name"])
def test_a_row_of_the_page_says_what_is_read(case: dict[str, Any]) -> None:
    assert row(case) in PAGE.splitlines()
