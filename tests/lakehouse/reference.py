"""The query model by brute force: a tree of `contracts.query` over rows in memory -> the rows that match, in order.

What both tiers must answer alike, and where the contract leaves room, what was settled:

* Text of an attribute: strings as they are, everything else as `attributes_text` writes it (`1.0` is "1.0", lists are
  JSON). `null` is absent. Numbers compare as IEEE doubles; true and false are not numbers.
* `Exists`: text that is not "" and not null; number fields and `timestamp` always.
* `Term` on a number field: the text read as a number (no number: no match).
* `Range` without any bound: strings of the attribute, "" included; on a keyword field the same as `Exists`.
* A range on a keyword field, or with one number and one text bound, compares strings. Text bounds on a
  number field are not known here.
* Refused with QueryError, so not known here: an unknown field, a wildcard on a number field or `timestamp`, a range
  on a text field, `timestamp` in anything but `Exists` and a range of integers.
* Not told apart here: code points where Unicode versions of the engines differ in "alphanumeric" (combining marks,
  circled letters), and values of more than 256 bytes, which hot wildcards and ranges see cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec

from contracts.batches import Batch
from contracts.messages import Kind
from contracts.query import (
    KEYWORD_FIELDS,
    NUMBER_FIELDS,
    TEXT_FIELDS,
    All,
    And,
    Exists,
    Node,
    Not,
    Or,
    Position,
    Range,
    RecordQuery,
    Term,
    Wildcard,
)
from contracts.records import attributes_text
from contracts.tenants import Tenant
from lakehouse.record_view import public_fields

ATTRIBUTES = "attributes."


@dataclass(frozen=True, slots=True)
class Stored:
    """A row with what its batch says of it: all that a store holds of a record."""

    kind: Kind
    timestamp_ns: int
    position: Position
    columns: dict[str, Any]

    @property
    def public(self) -> dict[str, Any]:
        return public_fields(self.kind, self.columns)


def stored(batches: Iterable[Batch]) -> list[Stored]:
    """The rows of `batches` as a store should hold them. Attributes go through their JSON text, as in both tiers."""
    found = []
    for batch in batches:
        header = batch.header
        constant = {name: getattr(header, name) for name in ("tenant", "producer", "epoch", "stream", "received_ns")}
        for row in batch.rows:
            columns = msgspec.structs.asdict(row) | constant
            columns["sequence"] = header.sequence + row.index
            columns["attributes"] = msgspec.json.decode(attributes_text(columns["attributes"]))
            position = Position(batch.partition, batch.offset, row.index)
            found.append(Stored(batch.kind, row.timestamp_ns, position, columns))
    return found


def tokens(text: str) -> list[str]:
    """Runs of alphanumeric characters, each character lower-cased on its own."""
    runs = ("".join(run) for is_token, run in groupby(text, str.isalnum) if is_token)
    return ["".join(character.lower() for character in run) for run in runs]


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value, order="deterministic").decode()


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def matches(node: Node, row: Stored) -> bool:
    match node:
        case All():
            return True
        case And(nodes):
            return all(matches(inner, row) for inner in nodes)
        case Or(nodes):
            return any(matches(inner, row) for inner in nodes)
        case Not(inner):
            return not matches(inner, row)
    value = _value(node.field, row)
    if value is None:
        return False
    if node.field in TEXT_FIELDS:
        return _matches_text(node, value)
    if node.field == "timestamp" or node.field in NUMBER_FIELDS:
        return _matches_number(node, value)
    return _matches_value(node, value)


def _value(field: str, row: Stored) -> Any:
    """What `field` holds in `row`; None: it has no such field, or null."""
    if field.startswith(ATTRIBUTES):
        return row.columns["attributes"].get(field.removeprefix(ATTRIBUTES))
    if field == "timestamp":
        return row.timestamp_ns
    known = field in KEYWORD_FIELDS[row.kind] | TEXT_FIELDS | NUMBER_FIELDS
    return row.columns.get(field) if known else None


def _matches_text(node: Term | Wildcard | Range | Exists, text: str) -> bool:
    words = tokens(text)
    match node:
        case Term(_, value):
            wanted = tokens(value)
            starts = range(len(words) - len(wanted) + 1)
            return bool(wanted) and any(words[start : start + len(wanted)] == wanted for start in starts)
        case Wildcard(_, pattern):
            lowered = "".join(character.lower() for character in pattern)
            return any(wildcard(lowered).fullmatch(word) for word in words)
        case Exists():
            return text != ""
        case Range():
            raise AssertionError("a text field has no ranges")


def _matches_number(node: Term | Wildcard | Range | Exists, number: float) -> bool:
    match node:
        case Term(_, value):
            try:
                return number == float(value)
            except ValueError:
                return False
        case Wildcard():
            raise AssertionError("a number field has no wildcards")
        case Exists():
            return True
        case Range():
            exact: Callable[[Any], Any] = int if node.field == "timestamp" else as_double
            return _bounds_are_numbers(node) and _between(number, node, exact)


def _matches_value(node: Term | Wildcard | Range | Exists, value: Any) -> bool:
    is_attribute = node.field.startswith(ATTRIBUTES)
    match node:
        case Term(_, text):
            return text_of(value) == text
        case Wildcard(_, pattern):
            return wildcard(pattern).fullmatch(text_of(value)) is not None
        case Exists():
            return text_of(value) != ""
        case Range(_, low, high):
            if is_attribute and (low, high) != (None, None) and _bounds_are_numbers(node):
                return is_number(value) and _between(as_double(value), node, as_double)
            if (low, high) == (None, None) and not is_attribute:
                return bool(value != "")
            return isinstance(value, str) and _between(value, node, str)


def _bounds_are_numbers(node: Range) -> bool:
    return all(bound is None or is_number(bound) for bound in (node.low, node.high))


def _between(value: Any, node: Range, convert: Callable[[Any], Any]) -> bool:
    if node.low is not None:
        low = convert(node.low)
        if value < low or (value == low and not node.include_low):
            return False
    if node.high is not None:
        high = convert(node.high)
        if value > high or (value == high and not node.include_high):
            return False
    return True


def wildcard(pattern: str) -> re.Pattern[str]:
    """A pattern of `contracts.query.Wildcard`; a backslash takes what follows as it is; at the end it is itself."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    special = {"*": ".*", "?": "."}
    return re.compile("".join(special.get(part) or re.escape(part[-1]) for part in parts), re.DOTALL)


def select(
    rows: Iterable[Stored], tenant: Tenant, where: Node, start_ns: int | None = None, end_ns: int | None = None
) -> list[Stored]:
    """The rows of `tenant` in the time range that match, ascending by (timestamp, position)."""
    found = [
        row
        for row in rows
        if row.columns["tenant"] == tenant
        and (start_ns is None or row.timestamp_ns >= start_ns)
        and (end_ns is None or row.timestamp_ns < end_ns)
        and matches(where, row)
    ]
    return sorted(found, key=lambda row: (row.timestamp_ns, row.position))


def page(rows: Sequence[Stored], tenant: Tenant, query: RecordQuery) -> list[Stored]:
    """What `HotStore.search` over all days must return."""
    found = select((row for row in rows if row.kind is query.kind), tenant, query.where, query.start_ns, query.end_ns)
    if query.newest_first:
        found.reverse()
    if query.after is not None:
        place = (query.after.timestamp_ns, query.after.position)
        found = [
            row
            for row in found
            if (row.timestamp_ns, row.position) != place
            and ((row.timestamp_ns, row.position) < place) == query.newest_first
        ]
    return found[: query.limit]
