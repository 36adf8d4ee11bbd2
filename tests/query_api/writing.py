"""Nodes at random, and a pretty-printer: Node -> Lucene text that parses back to the same node."""

from __future__ import annotations

from hypothesis import strategies as st

from contracts.query import All, And, Exists, Node, Not, Or, Range, Term, Wildcard
from text.words import words

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
# A backslash before a line feed escapes nothing in luqum: such text is written in quotes only.
LINES = WORDS.filter(lambda text: "\n" not in text)
KEYS = st.one_of(
    LINES.filter(lambda key: key not in {"id", "observed_timestamp"}),
    st.from_regex(r"[a-z]+(\.[a-z]+)?", fullmatch=True),
)
FIELDS = st.one_of(
    st.sampled_from(["service", "env", "host", "severity_text", "trace_id", "producer"]),
    KEYS.map(lambda key: f"attributes.{key}"),
)
NUMBERS = st.one_of(st.integers(-(2**63) + 1, 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))
ALNUM = st.text(st.characters(categories=["L", "Nd"]), max_size=5)
PATTERN_TEXT = LINES.map(lambda text: "".join(f"\\{char}" if char in "*?\\" else char for char in text))


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    field, bounds = draw(
        st.sampled_from(["attributes.n", "attributes.s", "service", "timestamp", "severity_number"]).map(
            lambda field: (field, _bounds_of(field))
        )
    )
    low, high = draw(st.one_of(bounds, st.none())), draw(bounds)
    if draw(st.booleans()):
        low, high = high, low
    return Range(field, low, high, low is None or draw(st.booleans()), high is None or draw(st.booleans()))


def _bounds_of(field: str) -> st.SearchStrategy[str | int | float]:
    if field == "timestamp":
        return st.integers(10**17, 2**63 - 1000).map(lambda number: number)
    if field == "severity_number":
        return st.integers(0, 24).map(lambda number: number)
    return NUMBERS.map(lambda number: number) if field == "attributes.n" else WORDS.map(lambda word: word)


LEAVES: st.SearchStrategy[Node] = st.one_of(
    st.just(All()),
    st.builds(Term, FIELDS, WORDS),
    st.builds(Term, st.just("body"), WORDS.filter(words)),  # a text without a word is refused
    st.builds(lambda a, b, joker: Wildcard("body", f"{a}{joker}{b}?"), ALNUM, ALNUM, st.sampled_from("*?")),
    st.builds(lambda field, a, b: Wildcard(field, f"{a}*{b}"), FIELDS, PATTERN_TEXT, PATTERN_TEXT),
    st.builds(Exists, st.one_of(st.just("body"), FIELDS)),
    ranges(),
)


def _several(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    lists = st.lists(children, min_size=2, max_size=4).map(tuple)
    return st.one_of(st.builds(And, lists), st.builds(Or, lists), st.builds(Not, children))


NODES = st.recursive(LEAVES, _several, max_leaves=12)


def lucene(node: Node) -> str:
    match node:
        case All():
            return "*:*"
        case And(nodes):
            return " ".join(_inside(each) for each in nodes)
        case Or(nodes):
            return " OR ".join(_inside(each) for each in nodes)
        case Not(inner):
            return f"NOT {_inside(inner)}"
        case Term(field, value):
            return f"{escaped(field)}:{quoted(value)}"
        case Wildcard(field, pattern):
            return f"{escaped(field)}:{_escaped_pattern(pattern)}"
        case Exists(field):
            return f"_exists_:{quoted(field)}"
        case Range(field, low, high, with_low, with_high):
            left, right = "[" if with_low else "{", "]" if with_high else "}"
            return f"{escaped(field)}:{left}{_bound(low)} TO {_bound(high)}{right}"


def _inside(node: Node) -> str:
    return f"({lucene(node)})" if isinstance(node, And | Or) else lucene(node)


def escaped(text: str) -> str:
    return "".join(char if char.isalnum() or char in "._" else f"\\{char}" for char in text)


def _escaped_pattern(pattern: str) -> str:
    out, chars = "", iter(pattern)
    for char in chars:
        out += f"\\{next(chars)}" if char == "\\" else char if char in "*?" else escaped(char)
    return out


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _bound(bound: str | float | None) -> str:
    return "*" if bound is None else quoted(bound) if isinstance(bound, str) else repr(bound)
