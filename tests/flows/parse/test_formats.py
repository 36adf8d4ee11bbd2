"""Lines of many loggers: level, time and attributes of each, as `docs/formats.md` has them."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from flows.parse.line import AttributeLimits, Finder, LineFacts

ROOT = Path(__file__).resolve().parents[3]
CASES = ROOT / "tests/cases/lines"
LIMITS = AttributeLimits(attributes=256, depth=16)
ARRIVAL_NS = int(dt.datetime(2026, 11, 30, 21, tzinfo=dt.UTC).timestamp()) * 10**9


def cases(name: str) -> list[Any]:
    lines = (CASES / f"{name}.jsonl").read_text().splitlines()
    return [pytest.param(case, id=case.get("name", case["line"][:60])) for case in map(json.loads, lines)]


def find(line: str) -> LineFacts:
    return Finder(LIMITS).find(line, ARRIVAL_NS)


def moment(found: LineFacts) -> str | None:
    if found.time_ns is None:
        return None
    time = dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=found.time_ns // 1000)  # noqa: DTZ001  UTC on both sides
    return f"{time.isoformat(timespec='microseconds')}Z"


@pytest.mark.parametrize(
    "case", [*cases("loggers"), *cases("formats-right"), *cases("structured"), *cases("time-keys")]
)
def test_a_line_is_read_as_its_logger_means_it(case: dict[str, Any]) -> None:
    found = find(case["line"])
    if "severity_text" in case:
        assert (found.severity or (0, ""))[1] == case["severity_text"]
    if "timestamp" in case:
        assert moment(found) == case["timestamp"]
    assert found.trace_id == case.get("trace_id", "")
    for key, value in case.get("attributes", {}).items():
        assert found.attributes.get(key) == value


@pytest.mark.parametrize("case", cases("loggers"))
def test_a_line_gives_the_attributes_that_its_case_names_and_no_other(case: dict[str, Any]) -> None:
    assert find(case["line"]).attributes == case["attributes"]


def test_the_table_of_loggers_in_the_docs_is_that_of_the_cases() -> None:
    text = (ROOT / "docs/formats.md").read_text()
    table = text.split("| logger | level | time | attributes |\n| --- | --- | --- | --- |\n")[1].split("\n\n")[0]
    rows = []
    for parameters in cases("loggers"):
        (case,) = parameters.values
        names = ", ".join(f"`{key}`" for key in sorted(case["attributes"])) or "none"
        rows.append(f"| {case['name']} | {case['level_from']} | {case['time_from']} | {names} |")
    assert table.strip().splitlines() == rows
