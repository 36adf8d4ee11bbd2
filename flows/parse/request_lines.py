"""Lines of one request each: the whole line -> time, level and HTTP fields, by how the line begins.

A reader takes (line, arrival_ns) and gives what the line says, or None where the line is of another form.
"""

from __future__ import annotations

from collections.abc import Callable

from flows.parse import access_log, proxy_logs
from flows.parse.http_request import DURATION, Attributes, add_client, add_request, add_server, add_status, seconds
from text import times
from text.levels import Severity, valued
from text.zones import UTC

Said = tuple[times.Time | None, Severity | None, Attributes]
Reader = Callable[[str, int], Said | None]

LOAD_BALANCERS = frozenset(("http", "https", "h2", "grpcs", "ws", "wss"))
_LEVELS = {f"{name}:": valued(name) for name in ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")}


def cloudfront(line: str, arrival_ns: int) -> Said | None:
    """Date and time are apart by a tab, and in UTC."""
    if line[10:11] != "\t" or line[19:20] != "\t":
        return None
    time = times.iso(f"{line[:10]} {line[11:19]}", 0, arrival_ns)
    attributes = None if time is None else proxy_logs.cloudfront(line, 19)
    return None if time is None or attributes is None else ((time[0], 19, UTC), None, attributes)


def console(line: str, arrival_ns: int) -> Said | None:  # noqa: ARG001  every reader takes the same arguments
    """uvicorn after its level, Morgan."""
    level = _LEVELS.get(line.partition(" ")[0])
    found = proxy_logs.morgan(line, 0) if level is None else proxy_logs.uvicorn(line, line.find(" "))
    return None if found is None else (None, level, found)


def gin(line: str, arrival_ns: int) -> Said | None:
    """`[GIN] 2026/11/30 - 19:40:07 | 502 | …`"""
    if line[:6] != "[GIN] " or line[16:19] != " - ":
        return None
    time = times.iso(f"{line[6:16]} {line[19:27]}", 0, arrival_ns)
    attributes = None if time is None else proxy_logs.gin(line, 27)
    return None if time is None or attributes is None else ((time[0], 27, time[2]), None, attributes)


def uwsgi(line: str, arrival_ns: int) -> Said | None:
    """`[pid: 77|app: 0|req: 1/1] 10.0.0.1 () {40 vars in 600 bytes} [Mon Nov 30 19:40:07 2026] GET / => generated …`"""
    opening = line.find("} [", 6, 512) if line[:6] == "[pid: " else -1
    time = times.ctime(line, opening + 3, arrival_ns) if opening > 0 else None
    attributes = None if time is None else proxy_logs.uwsgi(line, time[1])
    return None if time is None or attributes is None else (time, None, attributes)


def fiber(line: str, arrival_ns: int) -> Said | None:  # noqa: ARG001  every reader takes the same arguments
    """`19:40:07 | 502 |   3.1ms |  10.0.0.1 | GET     | /cart | -`"""
    parts = line.split("|", 6)
    found = proxy_logs.gin("|".join(["", *parts[1:4], f"{parts[4]} {parts[5]}"]), 0) if len(parts) > 5 else None
    return None if found is None else (None, None, found)


def rails(line: str, arrival_ns: int) -> Said | None:
    """`Started GET "/cart" for 10.0.0.1 at 2026-11-30 19:40:07 +0000`, `Completed 502 Bad Gateway in 12ms (…)`"""
    attributes: Attributes = {}
    if line[:8] == "Started ":
        method, quote, rest = line[8:].partition(' "')
        target, ending, rest = rest.partition('" for ')
        client, at, rest = rest.partition(" at ")
        if not (quote and ending and at):
            return None
        add_request(f"{method} {target}", attributes)
        add_client(client, attributes)
        return times.iso(rest, 0, arrival_ns), None, attributes
    words = line[:160].split()
    if words[0] != "Completed" or len(words) < 4 or not add_status(words[1], attributes):
        return None
    duration = seconds(words[words.index("in") + 1]) if "in" in words[:-1] else None
    if duration is not None:
        attributes[DURATION] = duration
    return None, None, attributes


def bracketed(line: str, time: times.Time) -> Attributes | None:
    """A time in brackets, then the request: Envoy, Django's development server."""
    end = time[1]
    if line[end : end + 3] != '] "':
        return (
            proxy_logs.apache_ssl(line, end + 1)
            if line[end : end + 2] == "] " and line[end + 2 : end + 3] != "["
            else None
        )
    found = proxy_logs.envoy(line, end + 1)
    if found is None:
        found = {}
        access_log.after_time(line[end + 1 :], found)
    return found or None


def after_time(line: str, time: times.Time) -> tuple[times.Time, Attributes] | None:
    """A time, then the request: IIS, chi, AWS classic load balancers, Squid. Only for lines without a level."""
    time_ns, end, zone = time
    found: Attributes | None = None
    if zone is None and end == 19 and line[19:20] == " " and line[20:21].isalnum():
        found, zone = proxy_logs.iis(line, end), UTC
    elif zone is None and '" from ' in line[:2048]:
        found = proxy_logs.chi(line, end)
    elif zone == UTC and line[end : end + 1] == " ":
        if line[4:5] == "-":
            found = proxy_logs.load_balancer(line, end) if '"' in line else None
        elif "/" in line:
            found = proxy_logs.squid(line, end)
    return None if found is None else ((time_ns, end, zone), found)


def of_error(line: str, start: int) -> Attributes:
    """Error logs: nginx' `…, client: 10.0.0.1, … request: "GET / HTTP/1.1"`, Apache's `[client …]`"""
    attributes: Attributes = {}
    at = line.find(", client: ", start, start + 8192)
    if at > 0:
        add_client(line[at + 10 : at + 300].partition(",")[0], attributes)
        server = line.find(", server: ", at, at + 512)
        if server > 0:
            add_server(line[server + 10 : server + 300].partition(",")[0], attributes)
        request = line.find(', request: "', at, at + 1024)
        if request > 0:
            add_request(line[request + 12 : request + 8192].partition('"')[0], attributes)
    elif (at := line.find("[client ", start, start + 256)) > 0:
        add_client(line[at + 8 : at + 128].partition("]")[0], attributes)
    return attributes


def of_balancer(line: str, time: times.Time) -> Attributes | None:
    """AWS application load balancers: a protocol, then the time."""
    return proxy_logs.load_balancer(line, time[1])
