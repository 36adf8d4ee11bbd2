"""Cases of `tests/cases/queries`: JSON files -> records, questions and right answers of one day.

A case has `why`, the `kind` of its records, `apart` (each record in a request of its own), `records`, and `asks` with
`path`, `params` and `want`. `T0` is a whole hour, two to three hours ago; `TODAY` is the UTC date. `want` is one of:

- a list of texts: the values of attribute `k` of the records found, in any order
- 400: the status of the answer
- "all V", "max V": each point of every series is V, or at most V
- a list of [seconds after T0, value]: the points of the only series
- an object of such lists by the values of the series' labels, joined by commas
- "overflow [...]": such a list, in an answer that warns
"""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

QUERIES = Path(__file__).parent / "queries"
_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Clock:
    """What `T0` and `TODAY` are."""

    zero_s: int
    today: str

    @classmethod
    def at(cls, now_s: float) -> Clock:
        return cls((int(now_s) // _HOUR_S - 2) * _HOUR_S, dt.datetime.fromtimestamp(now_s, dt.UTC).date().isoformat())

    def set(self, value: Any) -> Any:
        """`value` with every `T0+n` and `TODAY` in it replaced."""
        if isinstance(value, list):
            return [self.set(part) for part in value]
        if isinstance(value, dict):
            return {name: self.set(part) for name, part in value.items()}
        if not isinstance(value, str):
            return value
        text = re.sub(r"T0\+(\d+)", lambda found: str(self.zero_s + int(found[1])), value)
        return text.replace("TODAY", self.today)


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    kind: str
    apart: bool
    records: list[dict[str, Any]]
    asks: list[dict[str, Any]]


def cases() -> list[Case]:
    """Every case, by name."""
    read = ((path.stem, json.loads(path.read_text())) for path in sorted(QUERIES.glob("*.json")))
    return [Case(name, given["kind"], given["apart"], given["records"], given["asks"]) for name, given in read]


def difference(answer: httpx.Response, want: Any, clock: Clock) -> str:
    """What is wrong with `answer`; "" when it is what the case wants."""
    if isinstance(want, int):
        return "" if answer.status_code == want else f"status {answer.status_code}, not {want}: {answer.text[:300]}"
    if answer.status_code != 200:
        return f"status {answer.status_code}: {answer.text[:300]}"
    told = answer.json()
    if told["partial"]:
        return f"partial: {told['tiers']}"
    if "records" in told:
        found = sorted(record["attributes"]["k"] for record in told["records"])
        return "" if found == sorted(want) else f"found {found}, not {sorted(want)}"
    return _series_difference(told, want, clock)


def _series_difference(told: dict[str, Any], want: Any, clock: Clock) -> str:
    points = {",".join(one["labels"].values()): one["points"] for one in told["series"]}
    if isinstance(want, str):
        word, _, rest = want.partition(" ")
        if word in ("all", "max"):
            return _bounded(points, word, float(rest))
        if not told.get("warnings"):
            return f"no warning: {told}"
        want = json.loads(rest)
    wanted = want if isinstance(want, dict) else {"": want}
    right = {
        labels: [[(clock.zero_s + at_s) * 1000, _about(value)] for at_s, value in line]
        for labels, line in wanted.items()
    }
    shifted = {labels: [[at // 1000 - clock.zero_s, v] for at, v in line] for labels, line in points.items()}
    return "" if points == right else f"found {shifted}, not {wanted}"


def _about(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, rel=1e-9)


def _bounded(points: dict[str, list[list[float]]], word: str, value: float) -> str:
    values = [told for line in points.values() for _, told in line]
    if word == "all":
        right = values == pytest.approx([value] * len(values), rel=1e-9)
    else:
        right = all(told <= value * (1 + 1e-9) for told in values)
    return "" if values and right else f"found {points}, not {word} {value}"
