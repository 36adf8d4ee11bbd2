"""Parameters of a request -> one node, a time range, and problems that name the parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contracts.errors import QueryError
from contracts.messages import Kind
from contracts.query import All, And, Node, Or, Term
from contracts.settings import Settings
from lakehouse.read.language.fields import parse_level
from lakehouse.read.language.lucene import parse
from lakehouse.read.language.times import LAST_DATE, is_date, next_date, parse_time
from query_api.backend import reading
from web.problems import Problem


def where(
    kind: Kind, q: str, values: Mapping[str, Sequence[str]], levels: Sequence[str], now_ns: int, settings: Settings
) -> Node:
    """`q` and every filter that is given; the values of one filter are alternatives, an empty one is ignored.

    Raises:
        Problem: 400, with the parameter.
    """
    if sum(map(len, values.values())) + len(levels) > settings.query_clauses:
        raise Problem(400, "too_many_filters", f"more than {settings.query_clauses} filters: leave some out")
    try:
        nodes = [parse(q, kind, now_ns, settings)]
    except QueryError as error:
        raise reading("q", q, error) from error
    for field, wanted in values.items():
        nodes.append(_any([Term(field, value) for value in wanted if value]))
    nodes.append(_any([_level(level) for level in levels if level]))
    given = tuple(node for node in nodes if node != All())
    return And(given) if len(given) > 1 else given[0] if given else All()


def _any(nodes: Sequence[Node]) -> Node:
    if not nodes:
        return All()
    return nodes[0] if len(nodes) == 1 else Or(tuple(nodes))


def _level(text: str) -> Node:
    try:
        return parse_level(text)
    except QueryError as error:
        raise reading("level", text, error) from error


def time_named(name: str, text: str | None, now_ns: int) -> int | None:
    """The parameter `name` as Unix nanoseconds; None or blank is open.

    Raises:
        Problem: 400 "bad_time".
    """
    if text is None or not text.strip():
        return None
    try:
        return parse_time(text, now_ns)
    except QueryError as error:
        raise reading(name, text, error) from error


def time_range(start: str | None, end: str | None, now_ns: int) -> tuple[int | None, int | None]:
    """Start (inclusive) and end (exclusive).

    Raises:
        Problem: 400 "bad_time", or "bad_range" when the start is not before the end.
    """
    start_ns, end_ns = time_named("start", start, now_ns), time_named("end", end, now_ns)
    if start_ns is not None and end_ns is not None and start_ns > end_ns:
        raise Problem(400, "bad_range", "start is after end: swap them", parameter="start")
    if start_ns is not None and start_ns == end_ns:
        raise Problem(400, "bad_range", _no_time_between(end or ""), parameter="start")
    return start_ns, end_ns


def _no_time_between(end: str) -> str:
    if not is_date(end) or end.strip() == LAST_DATE:
        return "start and end are the same, and end is exclusive: choose a later end"
    return f"start and end are the same, and end is exclusive: for the whole day use end={next_date(end)}"


def closed_range(start: str, end: str, now_ns: int) -> tuple[int, int]:
    """As `time_range`, with both sides given."""
    start_ns, end_ns = time_range(start, end, now_ns)
    if start_ns is None or end_ns is None:
        raise Problem(400, "bad_range", "start or end is missing: give both", parameter="start")
    return start_ns, end_ns
