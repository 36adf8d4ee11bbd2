"""The query model, which all tiers answer alike. `lakehouse.read.language` makes it from Lucene text.

Fields. *Text* fields (`body`) are split into words (`text.words`). *Keyword* fields (service, env, host, severity_text,
trace_id, span_id, name, producer, unit, metric_kind) and attributes (`attributes.KEY`) match whole values,
case-sensitive but for trace and span ids. *Number* fields (severity_number, value) match as numbers. An attribute
matches when one of its elements does: those of a list, of lists in it, and under `list.field` those in its objects.
An element is compared by its text (strings as they are, anything else in JSON form).

Nodes. `Term` on a text field: all its words, adjacent and in order (no word: matches nothing); elsewhere equality: of
texts, of numbers where an attribute is asked for one, of addresses, and of an address with a network that holds it.
`Wildcard`: `*` any run, `?` any one character; on a text field it matches one word, or where it has letters of a script
without blanks, a part of a run; elsewhere the whole value. `Range` with two number bounds (or one and open) on an
attribute: numbers, and strings that are one, exactly; with bounds that are addresses: addresses; else strings, by
code points. `timestamp` in a Range takes integers, nanoseconds. `Exists`: the field is present and not empty. `Not` is
the complement within the tenant and the time range.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from contracts.messages import Kind

TEXT_FIELDS = frozenset({"body"})
NUMBER_FIELDS = frozenset({"severity_number", "value"})
KEYWORD_FIELDS = {
    Kind.LOGS: frozenset({"service", "env", "host", "severity_text", "trace_id", "span_id", "producer"}),
    Kind.EVENTS: frozenset({"service", "env", "host", "name", "producer"}),
    Kind.METRICS: frozenset({"service", "env", "host", "name", "unit", "metric_kind", "producer"}),
}


class Tier(StrEnum):
    """A place of records: the index of the last days, the lake's tables, the archive of old days."""

    HOT = "hot"
    LAKE = "lake"
    ARCHIVE = "archive"


DEFAULT_TIERS = frozenset({Tier.HOT, Tier.LAKE})


@dataclass(frozen=True, slots=True)
class All:
    """Matches every record."""


@dataclass(frozen=True, slots=True)
class And:
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    node: Node


@dataclass(frozen=True, slots=True)
class Term:
    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    field: str
    pattern: str  # with "\\" escaping "*", "?" and itself


@dataclass(frozen=True, slots=True)
class Range:
    """`low` or `high` None: no bound on that side."""

    field: str
    low: str | int | float | None
    high: str | int | float | None
    include_low: bool = True
    include_high: bool = True


@dataclass(frozen=True, slots=True)
class Exists:
    field: str


Node = All | And | Or | Not | Term | Wildcard | Range | Exists


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Position of a record on the bus; the order of records with equal timestamps."""

    partition: int
    offset: int
    index: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last record of a page: the next page starts strictly after it, in the page's order."""

    timestamp_ns: int
    position: Position


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """One page of logs or events, sorted by (timestamp, position).

    Attributes:
        start_ns, end_ns: Event time, inclusive and exclusive; None is no bound.
        limit: Rows of the page, at least 1.
        after: Last record of the previous page; None for the first page.
        newest_first: Descending order.
    """

    kind: Kind
    where: Node
    start_ns: int | None
    end_ns: int | None
    limit: int
    after: Cursor | None = None
    newest_first: bool = True


@dataclass(frozen=True, slots=True)
class MetricQuery:
    """Aggregated series. `agg`: avg, min, max, sum, count, rate, p50, p90, p95, p99.

    `rate` is the increase per second of a cumulative sum, counted per raw series (all labels) with resets seen as a
    restart from 0, spread over the time between two samples, then summed over the group.

    Attributes:
        name: Metric name, whole.
        step_ns: Width of a point, at least 1 s; points start at multiples of the step.
        group_by: Own fields (service, env, host, name, unit, metric_kind) or attribute keys; "attributes.KEY" is always
            an attribute. () is one series.
        where: Further filter.
        resolution: Source of the answer: "raw", "1m" or "1h". "auto" takes the coarsest rollup that answers exactly;
            for percentiles of long ranges, the coarsest that answers within 1 %.
        per_series: avg, sum, min, max or last: reduces each raw series to one value a step, and `agg` then reduces
            these values. "": `agg` reduces all points directly.
    """

    name: str
    agg: str
    step_ns: int
    start_ns: int
    end_ns: int
    where: Node
    group_by: tuple[str, ...] = ()
    resolution: str = "auto"
    per_series: str = ""
