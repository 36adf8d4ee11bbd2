"""Words, numbers, addresses and escape sequences of a text: what counts as one, and what is cut for an index."""

from __future__ import annotations

import ipaddress
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lakehouse import reference
from text.addresses import Span, address_in, dotted, span_in
from text.escapes import without_colours, without_escapes
from text.levels import band_of, named
from text.numbers import number_in, number_of, sortable
from text.words import CUT, all_plain, index_word, is_plain, split_plain, words

AWKWARD = [
    "\x1b",
    "[31m",
    "\\n",
    "\\",
    "é",
    "e\u0301",
    "日",
    "本",
    "ー",
    "한",
    "ส",
    "ั",
    "👍",
    "🏽",
    "\u200d",
    "\ufe0f",
    "→",
    "$",
    "İ",
    "Σ",
]
TEXTS = st.lists(st.sampled_from([*AWKWARD, " ", "a", "B", "7", "_", "C:\\", "w" * 200]) | st.text(max_size=3)).map(
    "".join
)


@given(TEXTS)
def test_a_text_has_the_words_that_the_reference_says(text: str) -> None:
    assert words(text) == reference.tokens(text)


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_of_plain_texts_the_words_are_the_runs_of_ascii(texts: list[str]) -> None:
    joined, odd = split_plain(texts)
    runs = re.findall("[0-9a-z]+", joined.lower())
    assert runs == [word for text in texts if is_plain(text) for word in words(text)]
    assert odd == [text for text in texts if not is_plain(text)]
    assert all(len(run) <= 255 for run in runs)
    assert not all_plain(texts) or not odd


@pytest.mark.parametrize("size", [255, 256, 300, 511, 512, 600])
@pytest.mark.parametrize("before", [0, 1, 200, 255])
def test_a_long_word_is_seen_wherever_it_stands(size: int, before: int) -> None:
    text = f"{'x ' * (before // 2)}{'w' * size} x"
    assert all_plain([text]) == is_plain(text) == (size <= 255)


def test_a_word_that_is_too_long_keeps_its_beginning_and_is_one_of_its_own() -> None:
    first, second = index_word("é" * 200 + "a"), index_word("é" * 200 + "b")
    assert first != second
    assert first.startswith(f"{CUT}ééé")
    assert all(len(word.encode()) <= 255 for word in (first, second))
    assert index_word("é" * 127) == "é" * 127


def test_escape_sequences_are_no_part_of_a_word() -> None:
    assert words("\x1b[1;31mFATAL\x1b[0m crash") == ["fatal", "crash"]
    assert words(r"one\ntwo\u001b[31mthree") == ["one", "two", "three"]
    assert words(r"C:\new\table \\server\tmp\name") == ["c", "new", "table", "server", "tmp", "name"]
    assert without_colours("\x1b[31m[ERROR]\x1b[0m x") == "[ERROR] x"
    assert without_escapes("as it is") == "as it is"


def test_a_number_is_what_json_would_write() -> None:
    assert [number_in(text) for text in ("1", "-0", "1.0", "1.50", "5e2")] == [1, 0, 1, 1.5, 500]
    assert number_in("18446744073709551617") == 2**64 + 1
    for text in ("", "-", "007", "+5", "1.", ".5", "1e999", " 1", "1 ", "٣", "0x10", "nan"):
        assert number_in(text) is None, text
    assert number_of(True) is None
    assert number_of(float("inf")) is None


@given(st.integers() | st.floats(allow_nan=False), st.integers() | st.floats(allow_nan=False))
def test_numbers_sort_as_their_nearest_doubles(one: float, other: float) -> None:
    if one < other:
        assert sortable(one) <= sortable(other)


def test_addresses_are_read_and_networks_hold_them() -> None:
    assert address_in("2001:DB8:0:0::1") == address_in("2001:db8::1")
    assert address_in("::ffff:10.0.0.1") == address_in("10.0.0.1")
    for text in ("", "10.0.0", "10.0.0.256", "010.0.0.1", "fe80::1%eth0", "10.0.0.1:80", "a.b.c.d", "::1::"):
        assert address_in(text) is None, text
    assert span_in("10.1.2.3/8") == span_in("10.0.0.0/8")
    for text in ("10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8/8", "::/129", "a/8"):
        assert span_in(text) is None, text


def test_a_range_of_addresses_is_written_as_patterns() -> None:
    chosen = random.Random(7)
    for _ in range(300):
        ends = [chosen.choice([chosen.getrandbits(32), 0xC0A80000 + chosen.getrandbits(12)]) for _ in range(2)]
        first, last = sorted(ends)
        pattern = re.compile("|".join(dotted(Span(4, first, last))))
        for number in (first, last, first - 1, last + 1, chosen.randint(first, last), chosen.getrandbits(32)):
            if 0 <= number < 1 << 32:
                assert bool(pattern.fullmatch(str(ipaddress.IPv4Address(number)))) == (first <= number <= last)
    assert dotted(Span(4, 5, 4)) == ()


@pytest.mark.parametrize(
    ("word", "band"),
    [
        ("error", (17, 20)),
        ("ERR", (17, 20)),
        ("E", (17, 20)),
        ("crit", (18, 18)),
        ("notice", (10, 10)),
        ("error2", (18, 18)),
    ],
)
def test_a_level_is_asked_for_by_the_word_that_was_sent(word: str, band: tuple[int, int]) -> None:
    assert band_of(word) == band
    assert band[0] <= named(word)[0] <= band[1]
    assert band_of("nothing") is None
