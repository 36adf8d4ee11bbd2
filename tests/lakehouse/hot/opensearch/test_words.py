"""Words for OpenSearch: the analyzer's tables are those of the other tiers, and a query's words are the reference's."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.hot.opensearch.templates import template
from lakehouse.hot.opensearch.words import indexed, lowered, tokens
from scripts import opensearch_words as tables
from tests.lakehouse import reference

ANALYSIS = template("words")["template"]["settings"]["analysis"]


def test_the_template_holds_the_tables_of_the_embedded_store() -> None:
    assert ANALYSIS["tokenizer"]["headwater_words"]["pattern"] == tables.pattern()
    assert ANALYSIS["char_filter"]["headwater_lower"]["mappings"] == tables.mappings()


def test_the_lower_case_of_every_letter_is_the_references_whatever_the_engine_would_make_of_it() -> None:
    written = dict(pair.split("=>") for pair in ANALYSIS["char_filter"]["headwater_lower"]["mappings"][2:])
    for character in tables.CHARACTERS:
        if not character.isascii() and character != "İ":
            assert written.get(character, character) == lowered(character) == character.lower()
    assert indexed(lowered("İ")) == f"i{tables.DOT}"


@given(st.text(st.characters(max_codepoint=0x24F) | st.sampled_from("İſΣ日本Æ\ue131_-"), max_size=30))
def test_the_words_of_a_text_are_the_references(text: str) -> None:
    assert tokens(text) == reference.tokens(text)


@pytest.mark.parametrize("text", ["plain words", "Straße", "ΚΌΣΜΟΣ", "日本語"])
def test_a_word_stands_in_the_index_as_the_engine_would_write_it(text: str) -> None:
    for word in tokens(text):
        assert indexed(word) == word
        assert re.fullmatch(ANALYSIS["tokenizer"]["headwater_words"]["pattern"], word)
