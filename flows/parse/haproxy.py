"""HAProxy: a line of its HTTP or TCP format, without the time -> HTTP fields by OpenTelemetry's names.

10.0.0.1:4711 [30/Nov/2026:19:40:07.123] front back/server 10/0/30/69/109 502 2750 - - ---- 1/1/1/1/0 0/0 "GET …"
10.0.0.1:4711 [30/Nov/2026:19:40:07.123] front back/server 0/0/5007 212 -- 0/0/0/0/3 0/0
"""

from __future__ import annotations

from flows.parse.http_request import (
    CLIENT_PORT,
    Attributes,
    add_client,
    add_duration,
    add_request,
    add_size,
    add_status,
)

_MILLISECOND_S = 1e-3
_HTTP_WORDS = 8  # the request's quote follows them and the captured headers


def parse(line: str, opening: int, start: int) -> Attributes | None:
    """`opening`: where the blank before the time's bracket stands; `start`: the first character after the time."""
    attributes: Attributes = {}
    add_client(line[:opening], attributes)
    if CLIENT_PORT not in attributes:
        return None
    words = line[start : start + 1024].split(" ", _HTTP_WORDS + 2)
    if len(words) < 7 or "/" not in words[1]:
        return None
    timers = words[2].split("/")
    if len(timers) == 5 and len(words) > _HTTP_WORDS and len(words[7]) == 4:
        add_status(words[3], attributes)
        add_size(words[4], attributes)
        quote = line.find('"', start)
        if quote > 0:
            add_request(line[quote + 1 :].partition('"')[0], attributes)
    elif len(timers) == 3 and len(words[4]) == 2:
        add_size(words[3], attributes)
    else:
        return None
    add_duration(timers[-1].lstrip("+"), _MILLISECOND_S, attributes)
    return attributes
