"""Tables of characters of the embedded store and of Python -> OpenSearch's analyzer in `index_templates/words.json`.

    python -m scripts.opensearch_words

To be run when `tests/lakehouse/hot/opensearch/test_words.py` says that the tables have changed. Raise the file's
`version` as well: indexes that exist keep the analyzer that they were made with.
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

import tantivy

TEMPLATE = Path(__file__).resolve().parents[1] / "lakehouse" / "hot" / "opensearch" / "index_templates" / "words.json"
DOT = "\ue131"  # see `lakehouse.hot.opensearch.words`
CHARACTERS = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]


def pattern() -> str:
    """One or more of the characters that the embedded store's words are made of."""
    analyzer = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).build()
    codes = sorted({ord(character) for character in CHARACTERS if analyzer.analyze(character)} | {ord(DOT)})
    runs = [list(run) for _, run in groupby(enumerate(codes), lambda pair: pair[1] - pair[0])]
    ranges = [(chr(run[0][1]), chr(run[-1][1])) for run in runs]
    return f"[{''.join(first if first == last else f'{first}-{last}' for first, last in ranges)}]+"


def mappings() -> list[str]:
    """Every capital beyond ASCII and its lower case; "İ", which has two; and the character that stands for its dot."""
    lower = [f"{one}=>{one.lower()}" for one in CHARACTERS if not one.isascii() and len(one.lower()) == 1]
    lower = [pair for pair in lower if pair[0] != pair[-1]]
    return ["\\uE131=>\\u0020", "\\u0130=>i\\uE131", *lower]


def main() -> None:
    template = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    analysis = template["template"]["settings"]["analysis"]
    analysis["tokenizer"]["headwater_words"]["pattern"] = pattern()
    analysis["char_filter"]["headwater_lower"]["mappings"] = mappings()
    TEMPLATE.write_text(json.dumps(template, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
