r"""Access log: a line in a relative of the combined format -> its time and HTTP fields by OpenTelemetry's names.

    client - user [time] "request" status bytes "referer" "agent" …

The relatives: Apache (`vhost_combined`, `%D`), nginx (main, `$request_time`, `rt=…`), ingress-nginx, Traefik, lighttpd,
gunicorn, Varnish, Werkzeug, HAProxy, S3. Quoted text ends at a quote that is not escaped (`\"`).
"""

from __future__ import annotations

import re

from flows.parse import haproxy, proxy_logs
from flows.parse.http_request import (
    AGENT,
    CLIENT,
    DURATION,
    SERVER,
    SIZE,
    STATUS,
    USER,
    Attributes,
    add_client,
    add_clients,
    add_duration,
    add_request,
    add_server,
    decimal,
    is_address,
    seconds,
)
from text import times

Access = tuple[int, Attributes, str | None]

_CLOCK = re.compile(r" \d\d:\d\d:\d\d")
_BACKSLASH, _QUOTE = "\x01", "\x02"  # stand for escapes while the line is split at its quotes
_MICROSECOND_S = 1e-6
_HEAD_CHARS = 512
_TAIL_WORDS = 32
_OWNER_CHARS = 64  # of the owner's id, which begins a line of S3


def parse(line: str, arrival_ns: int) -> Access | None:
    """(time_ns, attributes, zone of the time) of a line, or None where the line is no access log."""
    opening = line.find(" [", 0, _HEAD_CHARS)
    if opening < 0:
        return None
    time = times.common_log(line, opening + 2, arrival_ns) or times.iso(line, opening + 2, arrival_ns)
    if time is None and (proxy := line.find("] - ", opening + 8, opening + 64)) > 0:
        opening = line.find(" [", proxy, _HEAD_CHARS)  # older ingress-nginx: `client - [proxies] - user [time]`
        time = times.common_log(line, opening + 2, arrival_ns) if opening > 0 else None
    if time is None or line[time[1] : time[1] + 2] != "] ":
        return None
    attributes: Attributes = {}
    who = line[:opening].split(" ")
    if len(who) == 3 and who[1] == "-" and who[0][:1] != '"':
        if ":" in who[0] or "," in who[0] or who[0] == "-":
            if who[0].partition(":")[0].isupper():
                return None  # `INFO:werkzeug:10.0.0.1`: a level in front
            add_clients(who[0], attributes)
        else:
            attributes[CLIENT] = who[0]
        if who[2] != "-":
            attributes[USER] = who[2]
    elif len(who) == 1 or len(who[0]) == _OWNER_CHARS:
        found = haproxy.parse(line, opening, time[1] + 2) or proxy_logs.s3(line, time[1] + 1)
        return None if found is None else (time[0], found, time[2])
    elif not _who(line[:opening], attributes):
        return None
    return (time[0], attributes, time[2]) if after_time(line[time[1] + 1 :], attributes) else None


def after_time(rest: str, attributes: Attributes) -> bool:
    """Add what stands in ` "request" status bytes "referer" "agent" …`; whether it is of that form."""
    pieces = _pieces(rest) if "\\" in rest else rest.split('"', 6)
    if len(pieces) < 3:
        return False
    if pieces[0] != " ":
        host = pieces[0].strip()
        if " " in host or not pieces[2][1:4].isdecimal():
            return False
        add_server(host, attributes)
    add_request(pieces[1], attributes)
    words = pieces[2].split()
    if words and len(words[0]) == 3 and words[0].isdecimal():
        attributes[STATUS] = int(words[0])
        if len(words) > 1:
            if words[1].isdecimal() and len(words[1]) <= 18:
                attributes[SIZE] = int(words[1])
            if len(words) > 2:
                _tail(words[2:], attributes)
    if len(pieces) >= 6:
        if pieces[5] not in ("-", ""):
            attributes[AGENT] = pieces[5]
        if len(pieces) == 7 and pieces[6]:
            _tail(pieces[6].split(None, _TAIL_WORDS)[:_TAIL_WORDS], attributes)
    return True


def _pieces(rest: str) -> list[str]:
    """Cut at the first six quotes that are not escaped."""
    if _BACKSLASH in rest or _QUOTE in rest:
        return rest.split('"', 6)
    pieces = rest.replace("\\\\", _BACKSLASH).replace('\\"', _QUOTE).split('"', 6)
    return [piece.replace(_QUOTE, '"').replace(_BACKSLASH, "\\") for piece in pieces]


def _who(head: str, attributes: Attributes) -> bool:
    """Before the time: `"host" client - user`, `host:443 client - user`, `client, proxy - user`, `client host user`."""
    if head[:4].isdecimal() and (head[4:5] == "-" or head[4:8].isdecimal()):
        return False  # a time stands in front: an envelope
    if head[0] == '"':
        quoted, _, head = head[1:].partition('"')
        if is_address(quoted.partition(",")[0]) or quoted == "-":
            add_clients(quoted, attributes)
        else:
            add_server(quoted, attributes)
    if head[:160].count(":") > 1 and _CLOCK.search(head) is not None:
        return False
    words = [word.strip('"') or "-" for word in head.split() if word[0] != "["]
    listed = 0
    while listed < len(words) and words[listed][-1] == ",":
        listed += 1
    if listed:
        add_clients("".join(words[: listed + 1]), attributes)
        words = words[listed + 1 :]
    elif CLIENT not in attributes and words:
        if len(words) > 3 and words[1] != "-" and not is_address(words[0]):
            add_server(words.pop(0), attributes)
        add_client(words.pop(0), attributes)
    return _user(words, attributes)


def _user(words: list[str], attributes: Attributes) -> bool:
    """What stands between client and time: `- -`, `- John Smith`, `shop.example -` (lighttpd), `10.0.0.2 - -`."""
    while len(words) > 2 and (is_address(words[0]) or words[0] == words[1] == "-"):
        words = words[1:]
    if not words or (len(words) > 2 and words[0] != "-"):
        return False
    if "." in words[0] and not is_address(words[0]) and SERVER not in attributes:
        add_server(words[0], attributes)
    user = " ".join(words[1:])
    if user not in ("-", "") and len(user) < 256:
        attributes[USER] = user.strip('"')
    return True


def _tail(words: list[str], attributes: Attributes) -> None:
    """The duration among the words that formats add at the end, where one is known for sure.

    One whole number alone is Apache's `%D`, in microseconds; a number with three decimals or more is in seconds, as
    nginx's `$request_time` and Rack's; `3ms` at the end is Traefik's.
    """
    if DURATION in attributes:
        return
    if len(words) == 1 and words[0].isdecimal():
        add_duration(words[0], _MICROSECOND_S, attributes)
        return
    for word in words:
        key, equals, value = word.partition("=")
        if equals:
            if key in ("rt", "request_time", "reqtime"):
                add_duration(value.strip('",'), 1.0, attributes)
                return
        elif "." in word and len((plain := word.strip('",')).partition(".")[2]) > 2 and decimal(plain) is not None:
            add_duration(plain, 1.0, attributes)
            return
    found = seconds(words[-1]) if words else None
    if found is not None:
        attributes[DURATION] = found
