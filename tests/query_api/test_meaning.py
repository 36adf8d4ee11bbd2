"""Each question has one right answer, in every tier: what users of such products reported as wrong.

Records go the way of a sender's: parsed by the flow, stored, asked for over HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from contracts.messages import Kind
from flows.graph import parser
from tests.flows.messages import arrived, line, logs, message
from tests.query_api.world import World
from tests.settings import settings

PARSE = parser(Kind.LOGS, settings())
LONG = "https://shop.example/find?q=" + "ab" * 130 + "&page=2"

RECORDS: dict[str, dict[str, object]] = {
    "big0": {"seq": 4611686018427400249},
    "big1": {"seq": 4611686018427400250},
    "big2": {"seq": 4611686018427400251},
    "huge": {"seq": 2**64 + 1},
    "one": {"n": 1},
    "one_point": {"n": 1.0},
    "one_text": {"n": "1"},
    "two_text": {"n": "2.50"},
    "zero_one": {"n": "01"},
    "list": {"tags": ["red", "blue"], "ports": [80, 443]},
    "lists": {"tags": [["green"], []]},
    "objects": {"items": [{"sku": "A1", "qty": 2}, {"sku": "B2", "more": [{"x": 7}]}]},
    "long": {"url": LONG},
    "minus": {"temp": -5},
    "plus": {"temp": 5},
    "near": {"ip": "10.1.2.3"},
    "far": {"ip": "192.168.0.10"},
    "mapped": {"ip": "::ffff:10.9.9.9"},
    "six": {"ip": "2001:db8::1"},
}
TEXTS = {
    "green": "\x1b[2m10:00:00\x1b[0;39m \x1b[32mDEBUG\x1b[0;39m started",
    "red": "\x1b[31mERROR\x1b[0m boom",
    "spelt": "first\\nsecond",
    "windows": "opened C:\\new\\table.txt",
    "han": "東京都の天気error予報",
    "hangul": "한국어문서",
    "thai": "สวัสดีครับ",
    "composed": "caf\u00e9",
    "decomposed": "cafe\u0301",
    "emoji": "deployed 🚀 to eu→us",
    "longest": "w" * 300 + "end",
}
LEVELS = ("crit", "alert", "dbg", "E", "critical", "error", "notice", "warning")

ASKED = {
    "seq:>=4611686018427400251": "big2 huge",
    "seq:<4611686018427400250": "big0",
    "seq:4611686018427400250": "big1",
    "seq:>18446744073709551616": "huge",
    "seq:18446744073709551616": "",
    "n:1": "one one_point one_text",
    "n:1.0": "one one_point one_text",
    'n:"1"': "one one_point one_text",
    "n:[1 TO 2.5]": "one one_point one_text two_text",
    "n:01": "zero_one",
    "tags:red": "list",
    "tags:green": "lists",
    "_exists_:tags AND NOT tags:red": "lists",
    "ports:443": "list",
    "ports:>400": "list",
    "ports:[100 TO 400]": "",
    "items.sku:A1": "objects",
    "items.sku:B*": "objects",
    "items.qty:>1": "objects",
    "items.more.x:7": "objects",
    "sku:A1": "",
    "url:*page=2": "long",
    "url:https*page*": "long",
    "url:http:*": None,
    "_exists_:url AND NOT url:*page=2": "",
    "temp:(-5 OR -6)": "minus",
    "temp:(-5)": "minus",
    "temp:-5": "minus",
    "temp:(4 OR 5)": "plus",
    "ip:10.0.0.0/8": "near mapped",
    'ip:"2001:db8::/32"': "six",
    "ip:[10.0.0.0 TO 10.255.255.255]": "near mapped",
    "ip:[9.9.9.9 TO 192.168.0.9]": "near mapped",
    'ip:"2001:DB8:0:0::1"': "six",
    "debug": "green",
    "32mdebug": "",
    "error AND boom": "red",
    "level:>=fatal": "critical",
    "level:debug": "green dbg",
    "second": "spelt",
    "nsecond": "",
    '"first second"': "spelt",
    "new AND table": "windows",
    "東京": "han",
    "天気": "han",
    "気天": "",
    "天*報": "han",
    "error AND 予報": "han",
    "국어": "hangul",
    "ครับ": "thai",
    "caf\u00e9": "composed decomposed",
    "cafe\u0301": "composed decomposed",
    "CAF\u00c9": "composed decomposed",
    "cafe": "",
    "🚀": "emoji",
    "→": "emoji",
    "w" * 300 + "end": "longest",
    "w" * 255: "",
    "ww*end": "longest",
    "*end": "longest",
    "trace_id:4BF92F3577B34DA6A3CE929D0E0E4736": "traced",
    "span_id:00F067AA0BA902B7": "traced",
    "trace_id:4BF92F*": "traced",
    "level:crit": "crit",
    "level:alert": "alert",
    "level:critical": "critical",
    "level:notice": "notice",
    "level:wrn": "warning",
    "level:E": "E error red crit alert",  # the six levels are bands of four numbers
    "level:[crit TO alert]": "crit alert",
    '"!!!"': None,
    "error AND ...": None,
    "body:---": None,
}


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    world = World(tmp_path_factory.mktemp("world"))
    lines = [line("x", attributes={"k": name, **attributes}) for name, attributes in RECORDS.items()]
    lines += [line(text, attributes={"k": name}) for name, text in TEXTS.items()]
    lines += [line("x", level=level, attributes={"k": level}) for level in LEVELS]
    lines.append(
        line("x", trace_id="4BF92F3577B34DA6A3CE929D0E0E4736", span_id="00F067AA0BA902B7", attributes={"k": "traced"})
    )
    world.store(Kind.LOGS, logs(PARSE(arrived(message(lines)))))
    yield world.client()
    world.close()


@pytest.mark.parametrize("tier", ["hot", "lake"])
@pytest.mark.parametrize("query", ASKED)
def test_a_question_finds_what_is_right(asking: httpx.Client, query: str, tier: str) -> None:
    answer = asking.get("/logs/search", params={"q": query, "tiers": tier, "limit": 1000})
    wanted = ASKED[query]
    if wanted is None:
        assert answer.status_code == 400, answer.text
        return
    assert answer.status_code == 200, answer.text
    found = {record["attributes"]["k"] for record in answer.json()["records"]}
    assert found == set(wanted.split())
