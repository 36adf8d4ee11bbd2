"""Addresses: text -> IPv4 and IPv6 addresses and networks, as integers in the order of the addresses.

An IPv4 address that is mapped into IPv6 (`::ffff:10.0.0.1`) counts as the IPv4 address. Addresses of different versions
are never compared.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from text.digits import naturals_between

_MAY_BE = re.compile(r"[0-9A-Fa-f:.]{2,45}")


class Address(NamedTuple):
    """`version`: 4 or 6."""

    version: int
    number: int


class Span(NamedTuple):
    """The addresses from `first` to `last`, both included; no addresses if `last` is below `first`."""

    version: int
    first: int
    last: int

    def holds(self, text: str) -> bool:
        """True if `text` is an address of this span."""
        found = address_in(text)
        return found is not None and found.version == self.version and self.first <= found.number <= self.last


def address_in(text: str) -> Address | None:
    if (":" not in text and text.count(".") != 3) or _MAY_BE.fullmatch(text) is None:
        return None
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and (mapped := found.ipv4_mapped) is not None:
        found = mapped
    return Address(found.version, int(found))


def span_in(text: str) -> Span | None:
    """The span of one address, or of a network such as `10.0.0.0/8`; None if `text` is neither."""
    head, slash, bits = text.partition("/")
    address = address_in(head)
    if address is None or not slash:
        return None if address is None else Span(address.version, address.number, address.number)
    width = 32 if address.version == 4 else 128
    if not (bits.isascii() and bits.isdigit() and int(bits) <= width):
        return None
    first = address.number >> (width - int(bits)) << (width - int(bits))
    return Span(address.version, first, first | (1 << (width - int(bits))) - 1)


def between(low: str | None, high: str | None, with_low: bool, with_high: bool) -> Span | None:
    """The span between two bounds; a bound of None is open.

    None if a bound is no address, if both are open, or if the bounds are addresses of different versions.
    """
    first, last = (None if bound is None else address_in(bound) for bound in (low, high))
    known = first or last
    if known is None or (low is not None) != (first is not None) or (high is not None) != (last is not None):
        return None
    if first is not None and last is not None and first.version != last.version:
        return None
    top = (1 << (32 if known.version == 4 else 128)) - 1
    start = 0 if first is None else first.number + (not with_low)
    end = top if last is None else last.number - (not with_high)
    return Span(known.version, start, end)


def dotted(span: Span) -> tuple[str, ...]:
    """Regular expressions that match the addresses of an IPv4 span.

    They use only digits, `[0-9]`, `|`, brackets and `\\.`.
    """
    if span.first > span.last:
        return ()
    return tuple(_octets(span.first, span.last, 3))


def _octets(first: int, last: int, left: int) -> list[str]:
    """Regular expressions for the last `left` + 1 octets of the addresses from `first` to `last`."""
    size = 1 << 8 * left
    low, high = first // size, last // size
    if not left:
        return [_octet(low, high)]
    if low == high:
        return [f"{low}\\.{rest}" for rest in _octets(first % size, last % size, left - 1)]
    parts = []
    if first % size:
        parts += [f"{low}\\.{rest}" for rest in _octets(first % size, size - 1, left - 1)]
        low += 1
    tail = []
    if last % size != size - 1:
        tail = [f"{high}\\.{rest}" for rest in _octets(0, last % size, left - 1)]
        high -= 1
    if low <= high:
        parts.append(_octet(low, high) + f"\\.{_octet(0, 255)}" * left)
    return parts + tail


def _octet(low: int, high: int) -> str:
    return f"({'|'.join(naturals_between(low, high))})"
