"""Answers: what becomes of a batch, by the response."""

from __future__ import annotations

import json
import random

import pytest

from agents.answers import Fate, judge, pause_s, retry_after_s


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        *[(status, Fate.TAKEN) for status in (200, 202, 204)],
        *[(status, Fate.AGAIN) for status in (408, 425, 429, 500, 502, 503, 504)],
        *[(status, Fate.DENIED) for status in (301, 308, 401, 403, 404, 405)],
        *[(status, Fate.REFUSED) for status in (400, 409, 413, 422)],
    ],
)
def test_the_status_decides(status: int, fate: Fate) -> None:
    assert judge(status, b"not json", None, 3).fate is fate


def test_single_records_may_be_refused() -> None:
    body = json.dumps({"accepted": 1, "rejected": [{"index": 1, "code": "too_long", "message": "m"}]}).encode()
    outcome = judge(202, body, None, 2)
    assert [(verdict.index, verdict.code, verdict.reason) for verdict in outcome.verdicts] == [(1, "too_long", "m")]


def test_a_400_that_names_every_record_settles_the_batch() -> None:
    body = json.dumps({"code": "none_usable", "rejected": [{"index": i, "code": "c"} for i in range(2)]}).encode()
    assert judge(400, body, None, 2).fate is Fate.TAKEN
    assert judge(400, body, None, 3).fate is Fate.REFUSED


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("999999", 3600.0),
        ("nan", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
    ],
)
def test_retry_after_in_seconds_and_as_a_date(text: str | None, seconds: float | None) -> None:
    assert retry_after_s(text, now_s=10.0) == seconds


def test_pauses_grow_to_the_limit_and_keep_what_was_asked_for() -> None:
    rng = random.Random(1)
    grown = [pause_s(attempt, 30.0, None, rng) for attempt in range(60)]
    assert 0.125 <= grown[0] <= 0.25
    assert all(15.0 <= pause <= 30.0 for pause in grown[7:])
    assert len(set(grown)) == 60
    assert all(5.0 <= pause_s(0, 30.0, 5.0, rng) <= 5.5 for _ in range(20))
