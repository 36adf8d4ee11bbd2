"""Records and queries of every awkward kind, by a seed: what a search meets in the field, and has got wrong before."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from contracts.query import All, And, Exists, Node, Not, Or, Range, Term, Wildcard
from contracts.records import LogRow, attributes_json
from tests.lakehouse.lake_samples import NOON_NS, log

WORDS = [
    "error",
    "Error",
    "boom",
    "time-out",
    "a",
    "ab",
    "abc",
    "42",
    "x_y",
    "10.0.0.1",
    "straße",
    "STRASSE",
    "İx",
    "i̇x",
]
WORDS += [
    "Ñandú",
    "n\u0303andú",
    "café",
    "cafe\u0301",
    "cafe",
    "ệ",
    "e\u0323\u0302",
    "ê\u0323",
    "κόσμος",
    "ΚΌΣΜΟΣ",
    "K",
    "\u212b",
    "Å",
]
WORDS += [
    "日本語",
    "東京error",
    "テスト",
    "サーバー",
    "한국어",
    "\u1112\u1161\u11ab",
    "하\u11ab",
    "สวัสดี",
    "ครับ",
    "हिन्दी",
    "\u0958",
    "豈",
]
WORDS += [
    "→",
    "€5",
    "5€",
    "👍🏽",
    "👍",
    "❤\ufe0f",
    "👨\u200d👩\u200d👧",
    "©",
    "ⓐ",
    "²",
    "$",
    "!!!",
    "—",
    "",
    "\u0301",
    "\ufeff",
]
WORDS += [
    "\x1b[31merror\x1b[0m",
    "\x1b[2mdebug",
    "\\u001b[1mboom",
    "\\x1b[0mab",
    "one\\ntwo",
    "a\\tab",
    "C:\\new\\table",
    "\\\\srv\\new",
    "\\",
]
WORDS += [
    "don't",
    "\n",
    "\t",
    "\0",
    "\x7f",
    "\x82",
    '"k":"v"',
    "[{",
    ",{",
    "w" * 255,
    "w" * 256,
    "w" * 300 + "a",
    "w" * 300 + "b",
    "é" * 130,
]

BIG = [
    2**53,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64,
    2**64 + 1,
    4611686018427400249,
    4611686018427400250,
    10**25,
    10**25 + 1,
]
NUMBERS: list[int | float] = [
    0,
    1,
    1.0,
    1.5,
    -5,
    -6,
    5,
    -0.0,
    404,
    500,
    1e300,
    -1e-300,
    0.1,
    1e22,
    *BIG,
    *(-number for number in BIG),
]
NUMERIC = [
    "1",
    "1.0",
    "1.50",
    "-5",
    "5e2",
    "500",
    "0500",
    "1e999",
    "+1",
    " 1",
    "0.1",
    "9007199254740993",
    "18446744073709551617",
    "-0",
]
ADDRESSES = [
    "10.0.0.1",
    "10.0.0.9",
    "10.1.2.3",
    "9.255.0.1",
    "192.168.0.10",
    "192.168.0.100",
    "::1",
    "2001:db8::1",
    "2001:DB8:0:0::1",
]
ADDRESSES += ["2001:db8::ff", "::ffff:10.0.0.7", "fe80::1%eth0", "10.0.0.256", "010.0.0.1", "10.0.0.1:80", "10.0.0.0/8"]
NETWORKS = [
    "10.0.0.0/8",
    "10.0.0.1/31",
    "192.168.0.0/24",
    "2001:db8::/32",
    "::/0",
    "0.0.0.0/0",
    "10.0.0.0/33",
    "10.0.0.1",
    "2001:db8:0::1",
]
LONG = [
    "https://shop.example/find?q=" + "ab" * 130 + "&page=2",
    "v" * 256,
    "v" * 257,
    "v" * 300 + "x",
    "é" * 200,
    "v " * 200 + "end",
]
TEXTS = [*WORDS, *NUMERIC, *ADDRESSES, *LONG, "red", "blue", "true", "null", "a*b", "a b", "a\tb", "\u0001", "~", "z"]
IDS = ["", "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "t1"]
KEYS = ["k", "a.b", "a", "items", "items.sku", "tags", 'q"', "é", "", "long" * 60, "k\x82", "x."]
PATTERNS = [
    "*",
    "?",
    "??",
    "a*",
    "*b",
    "a?c",
    "E*",
    "*or",
    "err*",
    "*0*",
    "日*",
    "*本*",
    "日?語",
    "日*語",
    "東京err*",
    "*ー",
    "한*",
    "👍*",
    "→",
    "caf?",
    "CAF*",
]
PATTERNS += [
    "é*",
    "w*",
    "*a",
    "www*b",
    "\\*",
    "a\\*b*",
    "*\\",
    "1*",
    "*.0",
    "*page=2",
    "https*page*",
    "v*x",
    "*end",
    "*v v*",
    '*"*',
    "10.*",
    "4BF92F*",
    "",
    "**",
    "ส*",
    "K*",
    "i*",
    "_*",
]


class Maker:
    """Of one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def rows(self, count: int) -> list[LogRow]:
        return [self._row(index) for index in range(count)]

    def _row(self, index: int) -> LogRow:
        pick = self._random.choice
        return log(
            index,
            body=self._body(),
            at_ns=NOON_NS + self._random.randint(-3, 3) * 1000,
            service=pick(["api", "web", "", "a*b", "API", "日本", "s" * 300, "10.0.0.1"]),
            host=pick([*ADDRESSES, "web-1", ""]),
            severity_number=self._random.randint(0, 24),
            attributes={pick(KEYS): self._value(3) for _ in range(self._random.randint(0, 4))},
            trace_id=pick(IDS),
            span_id=pick(IDS),
        )

    def _body(self) -> str:
        joiner = self._random.choice([" ", " ", "", "=", "\\n"])
        return joiner.join(self._random.choices(WORDS, k=self._random.randint(0, 5)))

    def _value(self, depth: int) -> Any:
        pick = self._random.choice
        shape = self._random.random()
        if depth == 3 and shape < 0.1:
            return attributes_json(
                [self._value(2) for _ in range(self._random.randint(0, 3))]
            ).decode()  # as flows store them
        if depth and shape < 0.25:
            return [self._value(depth - 1) for _ in range(self._random.randint(0, 3))]
        if depth < 3 and shape < 0.4:
            return {
                pick(["sku", "b", "qty", "a.b", ""]): self._value(depth - 1) for _ in range(self._random.randint(0, 2))
            }
        return pick([pick(TEXTS), pick(NUMBERS), pick(NUMERIC), pick(ADDRESSES), pick([True, False, None, ""])])

    def node(self, depth: int = 3) -> Node:
        shape = self._random.random()
        if not depth or shape < 0.6:
            return self._leaf()
        inner = tuple(self.node(depth - 1) for _ in range(self._random.randint(1, 3)))
        return Not(inner[0]) if shape < 0.72 else And(inner) if shape < 0.86 else Or(inner)

    def _leaf(self) -> Node:
        made: list[Callable[[], Node]] = [self._words, self._attribute, self._attribute, self._keyword, self._other]
        return self._random.choice(made)()

    def _words(self) -> Node:
        pick = self._random.choice
        if self._random.random() < 0.4:
            return Wildcard("body", pick(PATTERNS))
        return Term("body", " ".join(self._random.choices(WORDS, k=self._random.choice([1, 1, 1, 2]))))

    def _attribute(self) -> Node:
        pick = self._random.choice
        key = pick([*KEYS, "items.b", "tags.sku", "k.sku", "k.a.b", "a.b.sku", "k."])
        return self._of(f"attributes.{key}", [None, pick(NUMBERS), pick(NUMBERS), pick(ADDRESSES), pick(TEXTS)])

    def _keyword(self) -> Node:
        field = self._random.choice(["service", "host", "trace_id", "span_id", "producer"])
        ids = [text.upper() for text in IDS]
        return self._of(
            field, [None, *ids, self._random.choice(ADDRESSES), self._random.choice(["a", "b", "web", "s" * 300])]
        )

    def _of(self, field: str, bounds: list[Any]) -> Node:
        pick, shape = self._random.choice, self._random.random()
        if shape < 0.4:
            texts = [
                pick(TEXTS),
                pick(NUMERIC),
                pick(NETWORKS),
                pick([str(number) for number in NUMBERS]),
                pick(IDS).upper(),
                "true",
                "p0",
            ]
            return Term(field, pick([*texts, '{"sku":1}', "[]", "api", "日本"]))
        if shape < 0.6:
            return Wildcard(field, pick(PATTERNS))
        if shape < 0.7:
            return Exists(field)
        return Range(field, pick(bounds), pick(bounds), pick([True, False]), pick([True, False]))

    def _other(self) -> Node:
        pick = self._random.choice
        moments: list[int | None] = [None, *(NOON_NS + step * 1000 for step in range(-3, 4))]
        nodes: list[Node] = [
            All(),
            Exists("body"),
            Term("severity_number", pick(["9", "9.0", "x", "nan", "9.5", "1e99"])),
            Range("severity_number", pick([None, -1, 0, 9.5, "5"]), pick([None, 12, 1e300, "x"]), pick([True, False])),
            Range("timestamp", pick(moments), pick(moments), pick([True, False]), pick([True, False])),
        ]
        return pick(nodes)
