"""Strings that programs stumble over: control characters, scripts, numbers that are none, words of other languages.

All are valid Unicode without surrogates; none is a secret that a mask would take.
"""

from __future__ import annotations

EMPTY_AND_BLANK = [
    "",
    " ",
    "\t",
    "\n",
    "\r\n",
    "  two  spaces  ",
    "\u00a0",
    "\u3000",
    "\u2028line\u2029paragraph\u0085",
]

WORDS = ["null", "NULL", "nil", "None", "undefined", "true", "False", "NaN", "Infinity", "-Infinity", "constructor"]
WORDS += ["__proto__", "hasOwnProperty", "toString", "AND", "OR NOT", "TO", "con", "aux.log", "LPT1", "_exists_", "*"]

NUMBERS = [
    "0",
    "-0",
    "+1",
    "1.",
    ".5",
    "1e5",
    "1E-400",
    "1e400",
    "0x1F",
    "0b11",
    "017",
    "1_000",
    "1,000.5",
    "1/0",
    "٣٤٥",
]
NUMBERS += [
    "18446744073709551616",
    "-9223372036854775809",
    "0.1" + "0" * 40 + "1",
    "１２３",
    "½",
    "1..2",
    "--1",
    "$1.00",
]

PUNCTUATION = ["'", '"', "''", '""', "'\"'", "`", "\\", "\\\\", "\\'", "\\n", "\\u0041", "%", "%s%n%d", "{0}", "{{x}}"]
PUNCTUATION += [
    "${HOME}",
    "$(id)",
    "`id`",
    "&amp;",
    "&#0;",
    "~!@#$%^&*()_+-=[]{}|;:,./<>?",
    "<>",
    "--",
    "/* */",
    "#",
    ";",
]
PUNCTUATION += [
    "[",
    "]",
    "{",
    "}",
    "[]",
    "{}",
    '{"a":',
    ":",
    ",",
    "a:b:c",
    "(",
    "((a OR b",
    "a\\",
    '"open',
    "/re[/",
    "?*",
]

MARKUP = ["<b>bold</b>", "<script>go()</script>", '"><i x="', "<img src=x onerror=go()>", "<!-- ", "<![CDATA[x]]>"]
MARKUP += ["</html>", "javascript:go()", '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///b">]><a>&b;</a>']

QUERIES = ["1; DROP TABLE logs", "' OR '1'='1", "x') --", "1 UNION SELECT 2", "logs WHERE TRUE", "a' || 'b", "\\'; --"]
PATHS = [
    "../../etc/passwd",
    "..\\..\\boot.ini",
    "/dev/null",
    "C:\\",
    "file:///x",
    "a/../b",
    "./",
    "~",
    "s3://b/k?x=%00",
]
SHELL = [
    "$(touch x)",
    "| cat",
    "&& true",
    "; reboot",
    "> out",
    "-rf",
    "--help",
    "%0a%0d",
    "a\r\nX-Header: b",
    "\x1b[31mred\x1b[0m",
]

SCRIPTS = [
    "Ünïcödé",
    "Straße",
    "ΑΒΓ αβγς",
    "Кириллица ёЁ",
    "日本語の文字",
    "漢字",
    "한국어 조선말",
    "ภาษาไทย",
    "हिन्दी क्षि",
    "עברית שלום",
]
SCRIPTS += [
    "العربية مرحبا",
    "فارسی",
    "İstanbul ıI",
    "ǅungla",
    "ﬁne ﬂow",
    "Ꭰ Ꮳ",
    "ꜱᴍᴀʟʟ",
    "𝔉𝔯𝔞𝔨𝔱𝔲𝔯",
    "ℵ₀ ∑∫√∞ ≠ ≤",
    "¡¿«»§¶†‡",
    "￥＄＃",
]
COMBINED = [
    "e\u0301 and é",
    "Z\u0351\u036b\u0343a\u0347\u0348l\u0332\u0316",
    "n\u0303",
    "\u1112\u1161\u11ab",
    "ạ̈",
    "\u0301alone",
]
SYMBOLS = [
    "😀",
    "👩‍👩‍👧‍👦",
    "👍🏽",
    "🇫🇷🇯🇵",
    "❤️",
    "1️⃣",
    "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "a😀b",
    "𝕒",
    "\U0010fffd",
    "\ufffd",
    "\ufffe",
    "\uffff",
    "\U0001fffe",
    "\ue000",
]
DIRECTIONS = [
    "\u202eabc\u202c",
    "\u2066left\u2069",
    "\u200fx\u200e",
    "مرحبا hello שלום",
    "\u061c",
    "test\u202a test\u202b",
]
INVISIBLE = [
    "zero\u200bwidth",
    "\ufeffmark at the start",
    "joi\u200dned",
    "soft\u00adhyphen",
    "\u2060",
    "\u180e",
    "\u115f",
    "a\u034fb",
]
CONTROLS = [f"control {chr(code)} within" for code in (*range(1, 32), *range(127, 160))] + ["nul \0 within"]

LONG = ["x" * 300, "é" * 100, "word " * 200, "é" * 129, "漢" * 400, "\\" * 257, '"' * 256, "(" * 40, "a" * 255 + "b"]

NAUGHTY: list[str] = [
    *EMPTY_AND_BLANK,
    *WORDS,
    *NUMBERS,
    *PUNCTUATION,
    *MARKUP,
    *QUERIES,
    *PATHS,
    *SHELL,
    *SCRIPTS,
    *COMBINED,
    *SYMBOLS,
    *DIRECTIONS,
    *INVISIBLE,
    *CONTROLS,
    *LONG,
]
