"""The query model by brute force: a tree of `contracts.query` over rows in memory -> the rows that match, in order.

What every tier must answer alike, written a second time and as plainly as possible, without a part of the product's:

* An attribute is the list of its elements: of a list those in it, at any depth; of an object in a list also its fields,
  as `list.field`. The text of a list that holds lists or objects is both, a text and that list. A condition holds when
  it holds for one of them. `null` is absent.
* Text of an element: strings as they are, everything else as canonical JSON (`1.0` is "1.0").
* A number is a JSON number, or a string that JSON would read as one, of at most 40 digits on each side of the point.
  Whole numbers compare exactly, all others as doubles. True and false are none.
* `Term` on an attribute: equal text; or, where the term is a number, an equal number; or, where it is an address or a
  network, an address in it. On a keyword field the same without numbers; trace and span ids in any case.
* `Range` on an attribute with number bounds alone: numbers. With bounds that are addresses of one version: addresses.
  Else strings, by code points; without any bound: every string, on a keyword field the same as `Exists`.
* `Exists`: text that is not "" and not null; number fields and `timestamp` always.
* Words: see `tokens`.
* Refused with QueryError, so not known here: an unknown field, a wildcard on a number field or `timestamp`, a range
  on a text field, `timestamp` in anything but `Exists` and a range of integers.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
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


UNSPACED = (
    "HIRAGANA", "KATAKANA", "HANGUL", "CJK", "THAI", "LAO", "MYANMAR", "KHMER", "BOPOMOFO", "HALFWIDTH", "IDEOGRAPHIC",
)  # fmt: skip
COLOUR = r"(?:\x1b|\\x1[bB]|\\u001[bB]|\\033|\\e)\[[0-?]*[ -/]*[@-~]"
DRIVE = r"(?:^|(?<=[^0-9A-Za-z]))[A-Za-z]:\\[^\s\"'<>|]*|(?:^|(?<=[\s\"'(=]))\\\\\w[^\s\"'<>|]*"


def readable(text: str) -> str:
    """Without escape sequences; the path of a Windows file keeps its backslashes."""
    return re.sub(rf"({DRIVE})|{COLOUR}|\x1b|\\[nrt]", lambda found: found[1] or " ", text)


@functools.lru_cache(maxsize=4096)
def kind_of(character: str) -> str:
    """What a character is in a word: "run", "mark", "alone", or "" for none."""
    if 0x20000 <= ord(character) < 0x40000:  # planes of Han, also what this Python does not know yet
        return "alone"
    if character.isalnum():
        name = unicodedata.name(character, "")
        return "alone" if name.startswith(UNSPACED) else "run"
    category = unicodedata.category(character)[0]
    if category == "M" and not 0xFE00 <= ord(character) <= 0xFE0F:
        return "mark"
    return "alone" if category == "S" and ord(character) > 127 else ""


@functools.lru_cache(maxsize=4096)
def tokens(text: str) -> list[str]:
    """Words: runs of letters, digits and their marks; alone a symbol, and a letter of a script without blanks."""
    found: list[tuple[str, str]] = []
    before = ""
    for character in lowered(unicodedata.normalize("NFC", readable(text))):
        kind = kind_of(character)
        if (kind == "mark" and before) or (kind == before == "run"):
            word, shape = found[-1]
            found[-1] = (word + character, shape)
            kind = shape
        elif kind in ("run", "alone"):
            found.append((character, kind))
        before = kind if kind != "mark" or before else ""
    return [word for word, _ in found]


def lowered(text: str) -> str:
    return "".join(character.lower() for character in text)


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value, order="deterministic").decode()


def elements(attributes: dict[str, Any], key: str) -> list[Any]:
    whole = [*flat(attributes.items()), *flat((name, list_in(value)) for name, value in attributes.items())]
    return [value for name, value in whole if name == key]


def list_in(value: Any) -> Any:
    """A list that holds objects or lists is stored as its JSON text."""
    if isinstance(value, str) and value.startswith("[") and re.search(r"[\[,][\[{]", value):
        try:
            found = json.loads(value)
        except ValueError:
            return None
        return found if isinstance(found, list) else None
    return None


def flat(items: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for name, value in items:
        if isinstance(value, list):
            yield from flat((name, each) for each in value)
        elif value is not None:
            yield name, value
            if isinstance(value, dict):
                yield from flat((f"{name}.{inner}", each) for inner, each in value.items())


NUMBER = re.compile(r"(-?(?:0|[1-9]\d{0,39}))(\.\d{1,40})?(e[-+]?\d{1,3})?", re.IGNORECASE | re.ASCII)


def number_of(value: Any) -> Fraction | None:
    if isinstance(value, str):
        found = NUMBER.fullmatch(value)
        if found is None:
            return None
        value = int(found[1]) if not found[3] and not (found[2] or "").strip(".0") else float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value in (math.inf, -math.inf):
        return None
    return Fraction(value)


def address_of(value: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(value) if isinstance(value, str) and "%" not in value else None
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def is_in_network(value: Any, text: str) -> bool:
    head, slash, bits = text.partition("/")
    network, address = address_of(head), address_of(value)
    if network is None or address is None or network.version != address.version:
        return False
    if not slash:
        return address == network
    try:
        return address in ipaddress.ip_network(f"{network}/{bits}", strict=False) and bits.isdecimal()
    except ValueError:
        return False


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
    if node.field.startswith(ATTRIBUTES):
        found = elements(row.columns["attributes"], node.field.removeprefix(ATTRIBUTES))
        return any(_matches_element(node, value) for value in found)
    value = _value(node.field, row)
    if value is None:
        return False
    if node.field in TEXT_FIELDS:
        return _matches_text(node, value)
    if node.field == "timestamp" or node.field in NUMBER_FIELDS:
        return _matches_number(node, value)
    return _matches_keyword(node, value)


def _value(field: str, row: Stored) -> Any:
    """What `field` holds in `row`; None: it has no such field, or null."""
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
            return _has_word_like(lowered(unicodedata.normalize("NFC", pattern)), text)
        case Exists():
            return text != ""
        case Range():
            raise AssertionError("a text field has no ranges")


def _has_word_like(pattern: str, text: str) -> bool:
    letters = re.sub(r"\\(.)|[*?]", r"\1", pattern, flags=re.DOTALL)
    if not all(map(kind_of, letters)):
        return False
    if "alone" not in map(kind_of, letters):
        return any(wildcard(pattern).fullmatch(word) for word in tokens(text))
    whole = lowered(unicodedata.normalize("NFC", readable(text)))
    if not all(letter in whole for letter in letters):
        return False
    return any(
        _fits_within(pattern, whole, start, end) for start in range(len(whole)) for end in range(start, len(whole) + 1)
    )


def _fits_within(pattern: str, text: str, start: int, end: int) -> bool:
    """Within a run of letters of any script, whole words where the pattern begins or ends with a letter of one."""
    part = text[start:end]
    if not all(map(kind_of, part)) or wildcard(pattern).fullmatch(part) is None:
        return False
    first, last = pattern[0], pattern[-1]
    begins_word = (
        first in "*?" or kind_of(first) != "run" or start == 0 or kind_of(text[start - 1]) not in ("run", "mark")
    )
    tail = next((kind_of(letter) for letter in reversed(pattern) if kind_of(letter) != "mark"), "")
    ends_word = last in "*?" or tail != "run" or end == len(text) or kind_of(text[end]) not in ("run", "mark")
    return begins_word and ends_word


def _matches_number(node: Term | Wildcard | Range | Exists, number: float) -> bool:
    match node:
        case Term(_, value):
            return number_of(value) is not None and number_of(value) == number_of(number)
        case Wildcard():
            raise AssertionError("a number field has no wildcards")
        case Exists():
            return True
        case Range():
            return _bounds_are_numbers(node) and _between(number_of(number), node, number_of)


def _matches_element(node: Term | Wildcard | Range | Exists, value: Any) -> bool:
    match node:
        case Term(_, text) if number_of(text) is not None:
            return number_of(value) == number_of(text)
        case Range(_, low, high) if (low, high) != (None, None) and _bounds_are_numbers(node):
            number = number_of(value)
            return number is not None and _between(number, node, number_of)
        case Range(_, None, None):
            return isinstance(value, str)
    return _matches_value(node, value)


def _matches_keyword(node: Term | Wildcard | Range | Exists, value: str) -> bool:
    if node.field in ("trace_id", "span_id"):
        match node:
            case Term(field, text):
                node = Term(field, text.lower())
            case Wildcard(field, pattern):
                node = Wildcard(field, pattern.lower())
            case Range(field, low, high, with_low, with_high):
                low, high = (None if bound is None else str(bound).lower() for bound in (low, high))
                node = Range(field, low, high, with_low, with_high)
    if isinstance(node, Range) and (node.low, node.high) == (None, None):
        return value != ""
    return _matches_value(node, value)


def _matches_value(node: Term | Wildcard | Range | Exists, value: Any) -> bool:
    match node:
        case Term(_, text):
            return text_of(value) == text or is_in_network(value, text)
        case Wildcard(_, pattern):
            return wildcard(pattern).fullmatch(text_of(value)) is not None
        case Exists():
            return text_of(value) != ""
        case Range(_, low, high):
            bounds = [address_of(str(bound)) for bound in (low, high) if bound is not None]
            versions = {bound.version if bound else 0 for bound in bounds}
            if len(versions) == 1 and 0 not in versions:
                address = address_of(value)
                return address is not None and address.version in versions and _between(address, node, address_of)
            return isinstance(value, str) and _between(value, node, str)


def _bounds_are_numbers(node: Range) -> bool:
    bounds = (node.low, node.high)
    if node.field in NUMBER_FIELDS:
        return all(bound is None or number_of(bound) is not None for bound in bounds)
    return all(bound is None or not isinstance(bound, str) for bound in bounds)


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


@functools.lru_cache(maxsize=4096)
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
