"""Given: a row keeps what its reading depended on, and is read again to the same row."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.messages import Kind
from contracts.records import LogRow, SentLog
from flows.graph import parser
from flows.parse.given import READING, sent_again
from flows.parse.logs import LogRows
from tests.flows.messages import ARRIVAL_NS, arrived, header, line, logs, message
from tests.flows.parse.test_envelopes import ENVELOPES, INSIDES
from tests.settings import settings

ROWS = LogRows(settings(timezone="Europe/Berlin", timezones="shop=America/New_York"))
HEAD = header(received_ns=ARRIVAL_NS + 789)


def read(sent: SentLog) -> LogRow:
    rows, rejects = ROWS(HEAD, [3], [sent])
    assert rejects == []
    (row,) = rows
    assert isinstance(row, LogRow)
    return row


texts = st.sampled_from(
    [
        "x",
        "2026-01-01 00:00:00 ERROR x",
        "2025-10-26 02:30:00 x",  # twice in Berlin
        "2025-11-02 01:30:00 x",  # twice in New York
        "1950-01-01 00:00:00 x",
        "2036-01-01 00:00:00 x",
        "2026-01-01 00:00:00 CST x",
        "Jun 14 15:16:01 host app[7]: x",
        '{"level":"error","a":1,"b":{"c":2},"trace_id":"0af7651916cd43dd8448eb211c80319c"}',
        *(around(inside) for around in ENVELOPES.values() for inside in INSIDES.values()),
    ]
)
times = st.one_of(
    st.none(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["2026-01-01T00:00:00.123456789Z", "0001-01-01", "whenever", "", "9" * 70, "1" * 300, "\u00fc", 5, 10**400]
    ),
)
values = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.booleans(), st.lists(st.integers(), max_size=2))
records = st.builds(
    SentLog,
    body=texts | st.text(max_size=40),
    timestamp=times,
    observed_timestamp=times,
    service=st.sampled_from([None, "", "shop"]),
    severity_text=st.sampled_from([None, "", "warn", "Loud", "[error]", "3", "INFO+2", "\x1b[31merror"]),
    severity_number=st.sampled_from([None, 0, 18]),
    level=st.sampled_from([None, "debug"]),
    attributes=st.none()
    | st.dictionaries(
        st.sampled_from(["a", "b", "k", "headwater.timestamp.flag", "\u00fc"]),
        values | st.dictionaries(st.text(max_size=3), values),
    ),
    trace_id=st.sampled_from([None, "", "AB"]),
    span_id=st.sampled_from([None, "CD"]),
    observed_timezone=st.sampled_from([None, "Asia/Kolkata", "-03:30", "Mars/Phobos"]),
    preceding_text=st.none() | texts.map(lambda text: text[:256]),
)


@given(records)
def test_a_row_is_read_again_to_the_same_row(sent: SentLog) -> None:
    row = read(sent)
    assert read(sent_again(row)) == row


def test_rows_of_one_batch_do_not_change_each_other() -> None:
    sent = [
        SentLog(body="a", observed_timestamp=1_790_000_000, attributes={"a": 1}),
        SentLog(body="b", observed_timestamp=1_790_000_000, attributes={"a": 1}),
        SentLog(body="c", observed_timestamp=1_790_000_001, attributes={"a": 1}),
        SentLog(body="d", attributes={"a": 1}),
        SentLog(body="e", level="error", attributes={"a": 2}),
        SentLog(body="f"),
        SentLog(body="g", observed_timestamp=1_790_000_001, preceding_text="2026-01-01 00:00:00 x"),
    ]
    together, _ = ROWS(HEAD, [3] * len(sent), sent)
    assert together == [read(each) for each in sent]


def test_given_says_in_json_what_the_sender_gave() -> None:
    row = read(
        SentLog(body="x", timestamp=1_760_000_000, level="error", attributes={"b": 1, "a": {"c": 2}}, trace_id="AB")
    )
    assert json.loads(row.given) == {
        "v": READING,
        "given": ["timestamp", "severity", "trace_id"],
        "attributes": ["a.c", "b"],
    }
    assert row.zone == "Europe/Berlin"


@pytest.mark.parametrize(
    ("fields", "zone", "time_s"),
    [
        ({}, "Europe/Berlin", 1_767_222_000),
        ({"service": "shop"}, "America/New_York", 1_767_243_600),
        ({"service": "shop", "observed_timezone": "Asia/Kolkata"}, "Asia/Kolkata", 1_767_205_800),
    ],
)
def test_a_text_without_a_zone_is_read_in_the_senders_else_the_services_else_the_general_one(
    fields: dict[str, Any], zone: str, time_s: int
) -> None:
    row = read(SentLog(body="2026-01-01 00:00:00 x", **fields))
    assert (row.zone, row.timestamp_ns) == (zone, time_s * 10**9)


def test_a_zone_that_nobody_knows_gives_no_time_rather_than_a_wrong_one() -> None:
    assert read(SentLog(body="2026-01-01 00:00:00 x", observed_timezone="Mars/Phobos")).timestamp_ns == ARRIVAL_NS
    assert read(SentLog(body="2026-01-01 00:00:00 CST x")).timestamp_ns == ARRIVAL_NS
    shanghai = read(SentLog(body="2026-01-01 00:00:00 CST x", observed_timezone="Asia/Shanghai"))
    assert shanghai.timestamp_ns == 1_767_196_800 * 10**9


def test_a_text_without_a_time_takes_that_of_the_text_before_it() -> None:
    before = "2026-01-01 00:00:00 ERROR order failed"
    trace = read(SentLog(body="\tat com.example.Shop", preceding_text=before, observed_timestamp=1_790_000_000))
    assert trace.timestamp_ns == 1_767_222_000 * 10**9
    assert trace.severity_number == 0
    own = read(SentLog(body="2026-01-02 00:00:00 x", preceding_text=before))
    assert own.timestamp_ns == 1_767_308_400 * 10**9
    sent = read(SentLog(body="x", timestamp=1_790_000_000, preceding_text=before))
    assert sent.timestamp_ns == 1_790_000_000 * 10**9


def test_an_hour_that_winter_time_doubles_is_the_one_nearest_to_when_the_text_was_read() -> None:
    first, second = 1_761_438_600, 1_761_442_200
    for read_at in (first + 60, second + 60):
        row = read(SentLog(body="2025-10-26 02:30:00 x", observed_timestamp=read_at))
        assert row.timestamp_ns == (read_at - 60) * 10**9


def test_a_row_goes_through_the_bus_with_its_inputs() -> None:
    parse = parser(Kind.LOGS, settings())
    (row,) = logs(parse(arrived(message([line("x", observed_timestamp=1_790_000_000)]))))
    assert msgspec.json.decode(row.given) == {"v": READING, "observed": 1_790_000_000}


def test_attributes_that_are_equal_and_not_the_same_stay_as_they_were_sent() -> None:
    sent = [SentLog(body="x", attributes={"a": value, "b": {"c": value}}) for value in (1, True, 1.0)]
    together, _ = ROWS(HEAD, [3] * 3, sent)
    assert [repr(row.attributes) for row in together if isinstance(row, LogRow)] == [
        repr({"a": value, "b.c": value}) for value in (1, True, 1.0)
    ]
    flat, _ = ROWS(HEAD, [3] * 2, [SentLog(body="x", attributes={"a": value}) for value in (1, True)])
    assert [repr(row.attributes) for row in flat if isinstance(row, LogRow)] == ["{'a': 1}", "{'a': True}"]
