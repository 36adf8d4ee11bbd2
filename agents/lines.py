"""Lines: raw bytes of one source -> parts of NDJSON log records.

The common part of all records of a block is encoded once, and one call encodes all bodies of a block. Encoded JSON
strings contain no bare quote, so `","` in the encoded list separates two bodies, unless a body is a single comma.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from agents.between import start_of

RECORD_BYTES = 900 << 10  # a larger encoded record is split, to stay below the service's limit (1 MiB)
FLAG = "headwater.line.flag"
PART = "headwater.line.part"
RAW = "headwater.body.raw"

Scalar = str | int | float | bool

_PREFIX = b'{"body":'
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Part:
    """`count` records as NDJSON, each line with its newline."""

    count: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Origin:
    """Fields that all records of one source share. `attributes` names the source.

    `zone`: time zone of the machine that reads the source, an IANA name or an offset; "" is not sent.
    """

    service: str
    env: str
    host: str
    attributes: Mapping[str, Scalar]
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """Most records and bytes of a part; a raw line longer than `line_bytes` is split."""

    records: int
    bytes: int
    line_bytes: int


class LineEncoder:
    """Makes records of one source: `pack` from complete lines, `piece` a flagged record from an unfinished line."""

    def __init__(self, origin: Origin, limits: Limits) -> None:
        self._limits = limits
        self._attributes = dict(origin.attributes)
        resource = {"service": origin.service, "env": origin.env, "host": origin.host, "observed_timezone": origin.zone}
        self._resource = b"," + _encode({name: text[:256] for name, text in resource.items() if text})[1:-1]
        if self._resource == b",":
            self._resource = b""
        self._plain = self._resource + b',"attributes":' + _encode(self._attributes) + b"}"

    def pack(self, data: bytes, observed_ns: int, preceding: str = "") -> list[Part]:
        """Records of `data`: complete lines without the last newline. Empty lines give no records.

        `preceding`: start of the last record before them that has a time, if they have none.
        """
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return self._pack_mixed(data.split(b"\n"), observed_ns, preceding)
        lines = text.split("\n")
        if "\r" in text:
            lines = [line.removesuffix("\r") for line in lines]
        if "" in lines:
            lines = [line for line in lines if line]
        return list(self._runs(lines, observed_ns, preceding))

    def piece(self, data: bytes, observed_ns: int, part: int, flag: str, preceding: str = "") -> list[Part]:
        """A record that is no complete line: a piece of a line, or several lines that are one record.

        `part`: pieces that were sent before; `flag`: reason of the cut, "" if the record is whole.
        """
        return self._pieces(data, observed_ns, part, flag, preceding)

    def _pack_mixed(self, raw_lines: list[bytes], observed_ns: int, preceding: str) -> list[Part]:
        packed: list[Part] = []
        run: list[str] = []
        for raw in raw_lines:
            raw = _without_return(raw)
            try:
                if line := raw.decode():
                    run.append(line)
            except UnicodeDecodeError:
                packed += [*self._runs(run, observed_ns, preceding), *self._pieces(raw, observed_ns, 0, "", preceding)]
                run = []
        return packed + list(self._runs(run, observed_ns, preceding))

    def _runs(self, lines: list[str], observed_ns: int, preceding: str) -> Iterator[Part]:
        suffix = b',"observed_timestamp":%d' % observed_ns + _after(preceding) + self._plain
        for begin in range(0, len(lines), self._limits.records):
            yield from self._fitting(lines[begin : begin + self._limits.records], suffix, observed_ns, preceding)

    def _fitting(self, lines: list[str], suffix: bytes, observed_ns: int, preceding: str) -> Iterator[Part]:
        encoded = _encode(lines)
        size = len(encoded) + len(lines) * (len(suffix) + len(_PREFIX))
        longest = self._limits.line_bytes
        if len(lines) == 1 and (size > RECORD_BYTES or (len(encoded) > longest and len(lines[0].encode()) > longest)):
            yield from self._pieces(lines[0].encode(), observed_ns, 0, "", preceding)
        elif len(lines) > 1 and (size > self._limits.bytes or (len(encoded) > longest and self._has_long(lines))):
            middle = len(lines) // 2
            yield from self._fitting(lines[:middle], suffix, observed_ns, preceding)
            yield from self._fitting(lines[middle:], suffix, observed_ns, preceding)
        else:
            border = suffix + b"\n" + _PREFIX
            yield Part(len(lines), _PREFIX + _joined(lines, encoded, border) + suffix + b"\n")

    def _has_long(self, lines: list[str]) -> bool:
        longest = self._limits.line_bytes
        if max(map(len, lines)) * 4 <= longest:
            return False
        return any(len(line) * 4 > longest and len(line.encode()) > longest for line in lines)

    def _pieces(self, raw: bytes, observed_ns: int, part: int, flag: str, preceding: str) -> list[Part]:
        """One line, or one piece of a line, as one record; as several records if it is too long."""
        longest = self._limits.line_bytes
        if not raw:
            return []
        record = b"" if len(raw) > longest else self._record(raw, observed_ns, part, flag, preceding)
        if record and (len(record) <= RECORD_BYTES or len(raw) < 16):
            return [Part(1, record)]
        cut = whole_characters(raw, longest if len(raw) > longest else len(raw) // 2)
        head = self._pieces(raw[:cut], observed_ns, part, "split", preceding)
        rest_of = preceding or start_of(raw)  # the time of its first piece is that of the others
        return head + self._pieces(raw[cut:], observed_ns, part + len(head), flag or "end", rest_of)

    def _record(self, raw: bytes, observed_ns: int, part: int, flag: str, preceding: str) -> bytes:
        attributes: dict[str, object] = dict(self._attributes)
        if flag:
            attributes |= {FLAG: flag, PART: part + 1}
        try:
            body = raw.decode()
        except UnicodeDecodeError:
            body = raw.decode(errors="replace")
            attributes[RAW] = base64.b64encode(raw).decode()
        middle = b',"observed_timestamp":%d' % observed_ns + _after(preceding) + self._resource
        return _PREFIX + _encode(body) + middle + b',"attributes":' + _encode(attributes) + b"}\n"


def _joined(lines: list[str], encoded: bytes, border: bytes) -> bytes:
    """The encoded list with `border` between the bodies. A body of one comma needs the slower way."""
    if "," in lines:
        return border.join(_encode(line) for line in lines)
    return encoded[1:-1].replace(b'","', b'"' + border + b'"')


def _after(preceding: str) -> bytes:
    return b',"preceding_text":' + _encode(preceding) if preceding else b""


def _without_return(raw: bytes) -> bytes:
    return raw.removesuffix(b"\r")


def whole_characters(data: bytes, limit: int) -> int:
    """The largest cut <= `limit` (and > 0) that splits no UTF-8 character."""
    for cut in range(limit, max(limit - 4, 0), -1):
        if cut >= len(data) or data[cut] & 0xC0 != 0x80:
            return cut
    return limit


def begun_character(data: bytes) -> int:
    """Start of an incomplete UTF-8 character at the end of `data`; len(data) if the last character is complete."""
    for length in range(1, min(3, len(data)) + 1):
        byte = data[-length]
        if byte & 0xC0 != 0x80:
            wanted = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return len(data) - length if wanted > length else len(data)
    return len(data)
