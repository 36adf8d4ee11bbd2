"""Traces: a line, and the state of the record before it -> whether the line continues that record.

The state is one word, "" for most records; it is stored with the read position. The rules are for the traces of Java,
Python, Go, Node, Ruby, .NET, PHP, Rust and Elixir, for PEM blocks and for JSON that is written over several lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from text.heads import has_own_head
from text.patterns import bytes_pattern

_GO_NAME = rb"\.(?:\(\*?\w+\)\.\w[\w.]*|[A-Z]\w*(?:\.\w+)*|\w+\.func\d[\w.]*)\r?$"  # as zap writes it
_LISTS = b"|".join(
    (
        rb"Caused by: ?|Suppressed: |Wrapped by: |\.\.\. \d+ (?:more|common|lines|levels|skipped|filtered)",
        rb"at [\w.$/<>`~@-]+\(.*\)|at .+ in .+:line \d+|at .+\(.+:\d+:\d+\)",  # frames that lost their blanks
        rb"--- End of |---> |Traceback \(most recent|During handling of the above|The above exception",
        rb"goroutine \d+|Node\.js v\d|Emitted 'error' event|stack (?:back)?trace(?:back)?:|note: run with `RUST",
        rb"(?:main|runtime)\.[\w.()*]+\r?$|(?:[\w-]+\.)+\w+/[\w./-]+" + _GO_NAME,
        rb"-----(?:BEGIN|END) |(?:PHP )?Stack trace:|\[stacktrace\]|\[previous exception\]|#\d+ |PHP +\d+\. |\"\}\s*$",
        rb"\S+:\d+:in [`']|from \S+:\d+:in |\*\* \(|[\]})]+[;,]?\s*$|</[\w:.-]+>\s*$|coroutine \d+:",
        rb"(?:Next )?(?:[\w$]+(?:\.|\\|::))+[\w$]*(?:Exception|Error|Throwable|Failure|Fault|Warning)\b",
        rb"(?:Next )?[A-Z]\w*(?:Exception|Error)(?:\r?$|[: (]|\s*\[)",
        "(?:[╭╰│┃])".encode(),  # the frame around a trace of Rich
    )
)
_OPENS_GO = rb"(?:panic: |fatal error: |SIG[A-Z]+: |goroutine \d+ \[)"
_SPOKEN_GO = rb".*(?:http: panic serving |\bpanic: )"
_GO_LINE = bytes_pattern(
    rb"[\w./*%~@()-]+\.[\w.()*]+\r?$|[\w./*%~@-]+[\w./()*\[\]{}%~@,. -]*\(.*\)\r?$"  # with and without arguments
    rb"|created by |exit status |goroutine |\[(?:signal|recovered)|panic: |runtime stack:|\.\.\.additional frames"
    rb"|PC=|r\w\w? +0x|[re]?flags +0x|[c-gs]s +0x"
).match
_LISTED, _GO = bytes_pattern(_LISTS).match, bytes_pattern(_OPENS_GO + b"|" + _SPOKEN_GO).match
_RAISED = bytes_pattern(rb"[A-Za-z_][\w.]*(?:: |:?\s*$)").match
_MESSAGE = bytes_pattern(  # lines of messages of Python's exceptions, and of an error within its logging
    rb"Call stack:|Message: ['\"]|Arguments: |\[SQL: |\[parameters: |\(Background on|(?:DETAIL|HINT): |LINE \d+: "
).match
_FIELD = bytes_pattern(rb"[\w.\[\]-]+\s*$").match
_GO_PLACE = bytes_pattern(rb"\t/?\S+\.(?:go|s):\d+").match
_OPENS_JUL = rb"[A-Z][a-z]{2} \d{1,2}, \d{4} \d{1,2}:\d\d:\d\d"
_JUL = bytes_pattern(_OPENS_JUL).match
_JUL_LEVEL = bytes_pattern(rb"[A-Z]+: ").match
_CARETS = re.compile(rb"[ \t]*[\^~]+[ \t\r]*\Z").match
_OPENS_RUST = rb"thread '[^']*'(?: \(\d+\))? panicked at .*:\s*$"
_NEXT_LINE = bytes_pattern(_OPENS_RUST).match

LISTED = b"|".join((rb"[ \t\r]", _LISTS, _OPENS_GO, _OPENS_JUL, _OPENS_RUST))
"""Part of a pattern: with `_WORDS`, matches each line that continues a record without a state, or gives it one."""
_WORDS = (re.compile(rb"panic").search, re.compile(rb"-----BEGIN ").search)  # anywhere in a line

Search = Callable[[bytes, int], "re.Match[bytes] | None"]
search_plain: Search = bytes_pattern(rb"(?m)\n(?:\r?\n|" + LISTED + rb")").search


class Noteworthy:
    """Finds, in a block of lines, those that may continue a record or give it a state, and empty lines.

    `search`: a pattern with `LISTED` in it. Each line of the block has a newline before it.
    """

    def __init__(self, block: bytes, search: Search) -> None:
        self._block = block
        self._next: dict[Search, int] = dict.fromkeys((search, *_WORDS), -1)

    def after(self, at: int) -> int:
        """Offset of the newline before the first such line from `at` on; the last offset of the block if none is."""
        for search, found in self._next.items():
            if found < at:
                self._next[search] = self._found(search, at)
        return min(self._next.values())

    def _found(self, search: Search, at: int) -> int:
        found = search(self._block, at)
        if not found:
            return len(self._block) - 1
        return self._block.rfind(b"\n", at, found.start() + 1)


def opened_by(line: bytes) -> str:
    """State of a record whose first line, or whose last listed line, is `line`."""
    if b"-----BEGIN " in line:
        return "" if b"-----END " in line else "pem"
    if b"Traceback (most recent call last)" in line:
        return "python"
    if b"panic" in line or line[:1] in b"gfS":
        if _NEXT_LINE(line):
            return "message"
        if _GO(line):
            return "go"
    return "jul" if _JUL(line) else ""


def continued(line: bytes, state: str) -> str | None:
    """State of the record after `line`, if `line` (not empty) continues it; None if `line` begins a record."""
    if line.startswith(_FRAMES) or (state in _CODE and line.startswith(_CODE[state])):
        return state
    if line[0] in b" \t":
        return None if has_own_head(line) else _indented(line, state)
    if state == "go" and _GO_LINE(line):
        return "go"
    if state == "pem" or line.startswith(b"-----END "):
        return _in_pem(line)
    if _LISTED(line):
        return _raised(line) if state == "python" and not line.startswith(b"Traceback") else opened_by(line) or state
    return _by_state(line, state)


_FRAMES = (b"\tat ", b"    at ", b"   at ")
_CODE = {"python": b"    ", "go": b"\t/"}  # begins a line of code, or its place, whatever follows


def _indented(line: bytes, state: str) -> str:
    if b"Traceback (most recent call last)" in line or line.lstrip().startswith(b'File "'):
        return "python"
    if _GO_PLACE(line):
        return "go"
    if _CARETS(line) and state != "python":
        return "message"
    return state


def _in_pem(line: bytes) -> str | None:
    if b"-----END " in line:
        return ""
    return None if has_own_head(line) else "pem"


def _raised(line: bytes) -> str:
    """State after the line that ends a traceback: Pydantic names fields after it, each on a line of its own."""
    return "fields" if b"validation error" in line else "raised"


def _by_state(line: bytes, state: str) -> str | None:
    if not state:
        return None
    if state in ("raised", "fields"):
        return state if _MESSAGE(line) or (state == "fields" and _FIELD(line)) else None
    if state == "message":
        return None if has_own_head(line) else "raised"
    if state == "python":
        return _raised(line) if _RAISED(line) else None
    return "" if state == "jul" and _JUL_LEVEL(line) else None
