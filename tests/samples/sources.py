"""What tests over samples take: ours, which are always there, and larger public collections where those are beside us.

The public ones (`../shared/data`) are extra: `make test-long` reads them, and says so where they are missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from _pytest.mark import ParameterSet

from tests.samples.json_texts import FREE, JSON_TEXTS, RIGHT, WRONG, JsonText
from tests.samples.strings import NAUGHTY

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
_MARKS = (pytest.mark.long, pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not here"))
Test = TypeVar("Test", bound=Callable[..., None])
_VERDICTS = {"y": RIGHT, "n": WRONG, "i": FREE}


def extra(test: Test) -> Test:
    """Mark a test that is about the public collections alone."""
    for mark in _MARKS:
        test = mark(test)
    return test


def _public_strings() -> list[str]:
    path = DATA / "naughty_strings" / "blns.json"
    found: list[str] = json.loads(path.read_bytes()) if path.exists() else []
    return found


def _public_json() -> list[JsonText]:
    folder = DATA / "json_test_suite" / "test_parsing"
    return [JsonText(path.name, path.read_bytes(), _VERDICTS[path.name[0]]) for path in sorted(folder.glob("*.json"))]


OURS, PUBLIC = (NAUGHTY, JSON_TEXTS), (_public_strings(), _public_json())


def _params(ours: tuple[object, ...], public: tuple[object, ...]) -> list[ParameterSet]:
    return [pytest.param(*ours, id="ours"), pytest.param(*public, id="public", marks=_MARKS)]


STRINGS_AND_JSON = _params(OURS, PUBLIC)
STRINGS = _params(OURS[:1], PUBLIC[:1])
JSON = _params(OURS[1:], PUBLIC[1:])
