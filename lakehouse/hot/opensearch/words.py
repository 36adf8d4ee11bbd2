"""Words of a text: as the query model defines them, and as OpenSearch's analyzer (`templates/words.json`) writes them.

The analyzer is made of data alone, the same code points and the same lower case as the lake's, so that neither the
engine's version nor its Java's tables of characters change an answer.
"""

from __future__ import annotations

import functools
import re

from lakehouse.hot.opensearch.templates import template

LONGEST_TOKEN_BYTES = 255  # a longer token is no term of a query, in either tier
# One letter's lower case is two characters, of which the second ends a word elsewhere. Inside the index, where only
# "İ" gives it, a private character stands for that second one.
_DOT, _INDEXED_DOT = "\u0307", "\ue131"


@functools.cache
def _word() -> re.Pattern[str]:
    pattern: str = template("words")["template"]["settings"]["analysis"]["tokenizer"]["headwater_words"]["pattern"]
    return re.compile(pattern)


def tokens(text: str) -> list[str]:
    """Runs of alphanumeric characters, each character lower-cased on its own."""
    return [lowered(run) for run in _word().findall(text.replace(_INDEXED_DOT, " "))]


def lowered(text: str) -> str:
    if text.isascii():
        return text.lower()
    return "".join(character.lower() for character in text)  # not text.lower(): it looks at neighbours


def indexed(word: str) -> str:
    """A lower-cased word, or a part of one, as it stands in the index."""
    return word if word.isascii() else word.replace(_INDEXED_DOT, " ").replace(_DOT, _INDEXED_DOT)
