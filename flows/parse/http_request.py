"""An HTTP request as logs write it: its parts -> attributes by OpenTelemetry's names.

Every function takes text of any kind and adds only what it can read: "-" and damage add nothing.
`http.server.request.duration` is in seconds; `http.response.body.size` is the bytes of the response as the log counts
them (HAProxy, ALB and CloudFront count the headers, too).
"""

from __future__ import annotations

from typing import Any

METHODS = frozenset(
    ("GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "PROPFIND", "PURGE", "REPORT")
)
STATUS, SIZE, DURATION = "http.response.status_code", "http.response.body.size", "http.server.request.duration"
METHOD, PATH, QUERY, SCHEME = "http.request.method", "url.path", "url.query", "url.scheme"
CLIENT, CLIENT_PORT, SERVER, SERVER_PORT = "client.address", "client.port", "server.address", "server.port"
AGENT, USER = "user_agent.original", "user.name"

_NOTHING = frozenset(("", "-", "unknown", "_", "--"))
_ADDRESS = frozenset("0123456789abcdefABCDEF:.%")
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PORTS = {"http": 80, "https": 443}

Attributes = dict[str, Any]


def add_request(request: str, into: Attributes) -> None:
    """`GET /cart?x=1 HTTP/1.1`: method, path and query. The target may hold spaces."""
    words = request.split(" ")
    if len(words) == 3 and words[0].isupper():
        into[METHOD], target = words[0], words[1]
        if target[:1] != "/":
            add_target(target, into)
            return
        into[PATH], _, query = target.partition("?")
        if query:
            into[QUERY] = query
    elif words[0] in METHODS and len(words) > 1:
        into[METHOD] = words[0]
        ending = words[-1].startswith("HTTP/")
        add_target(" ".join(words[1:-1] if ending else words[1:]), into)


def add_target(target: str, into: Attributes) -> None:
    """`/cart?x=1`, or a whole URL, whose host becomes the server's address; the host of `CONNECT` likewise."""
    if target[:1] != "/":
        target = _after_authority(target, into)
        if not target:
            return
    into[PATH], _, query = target.partition("?")
    if query:
        into[QUERY] = query


def _after_authority(target: str, into: Attributes) -> str:
    scheme, mark, rest = target.partition("://")
    if not mark:
        if into.get(METHOD) == "CONNECT":
            add_server(target, into)
            return ""
        return "" if target in _NOTHING else target
    if not scheme.isalnum() or len(scheme) > 8:
        return target
    authority, slash, path = rest.partition("/")
    if not slash:
        authority, _, query = rest.partition("?")
        path = f"?{query}" if query else ""
    add_server(authority.rpartition("@")[2], into)
    into[SCHEME] = scheme
    if into.get(SERVER_PORT) == _PORTS.get(scheme):
        into.pop(SERVER_PORT, None)
    return "/" + path


def add_client(text: str, into: Attributes) -> None:
    """`10.0.0.1`, `10.0.0.1:4711`, `[::1]:4711`, or a name."""
    _add_host(text, CLIENT, CLIENT_PORT, into)


def add_clients(text: str, into: Attributes) -> None:
    """A list as proxies forward it: the first address is the client."""
    for address in text[:1024].split(","):
        add_client(address.strip(), into)
        if CLIENT in into:
            return


def add_server(text: str, into: Attributes) -> None:
    """`shop.example`, `shop.example:443`"""
    _add_host(text, SERVER, SERVER_PORT, into)


def _add_host(text: str, name: str, port_name: str, into: Attributes) -> None:
    if text in _NOTHING or len(text) > 255:
        return
    host, colon, port = text.rpartition(":")
    if colon and host[:1] == "[" and host[-1:] == "]":
        text = host[1:-1]
    elif colon and ":" not in host and host:
        text = host
    elif text[:1] == "[" and text[-1:] == "]":
        text, port = text[1:-1], ""
    else:
        port = ""
    into[name] = text
    if port.isdecimal() and len(port) <= 5:
        into[port_name] = int(port)


def is_address(text: str) -> bool:
    """Whether this reads as an IP address, perhaps with a port."""
    if text.count(":") > 1:
        return _ADDRESS.issuperset(text.strip("[]").replace("]:", ":"))
    parts = text.partition(":")[0].split(".")
    return len(parts) == 4 and all(part.isdecimal() and len(part) <= 3 for part in parts)


def add_status(word: str, into: Attributes) -> bool:
    """Three digits; whether they were."""
    if len(word) != 3 or not word.isdecimal():
        return False
    into[STATUS] = int(word)
    return True


def add_size(word: str, into: Attributes) -> None:
    size = whole(word)
    if size is not None:
        into[SIZE] = size


def add_agent(text: str, into: Attributes) -> None:
    if text not in ("-", ""):
        into[AGENT] = text


def add_duration(text: str, unit_s: float, into: Attributes) -> None:
    """`0.012`, `12`: a number of units of `unit_s` seconds."""
    number = decimal(text)
    if number is not None:
        into[DURATION] = round(number * unit_s, 9)


def whole(text: str) -> int | None:
    """A number of at most 18 digits."""
    return int(text) if len(text) <= 18 and text.isdecimal() else None


def decimal(text: str) -> float | None:
    """A number without sign or exponent, perhaps with a fraction."""
    before, dot, after = text.partition(".")
    if len(text) > 30 or not before.isdecimal() or (dot and not after.isdecimal()):
        return None
    return float(text)


def seconds(text: str) -> float | None:
    """`3ms`, `1.5s`, `1m2.5s`, `12.3µs`: a duration with its units, in seconds."""
    total, at, end = 0.0, 0, len(text)
    if not 1 < end <= 32:
        return None
    while at < end:
        unit = at
        while unit < end and text[unit] in "0123456789.":
            unit += 1
        stop = unit
        while stop < end and text[stop] not in "0123456789.":
            stop += 1
        number, scale = decimal(text[at:unit]), _UNITS_S.get(text[unit:stop])
        if number is None or scale is None:
            return None
        total, at = total + number * scale, stop
    return round(total, 9)
