"""Structured access logs: pairs of a JSON object or of logfmt -> the same, with HTTP fields by OpenTelemetry's names.

nginx (variables as keys), Traefik, Caddy, Envoy and Istio, Kong, Cloudflare, the gateways of AWS and Google, pino-http,
Echo, Serilog, Heroku, lograge. The sender's own keys stay, and a field that the sender names by OpenTelemetry wins. A
duration is taken only where its unit is known for sure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flows.parse.http_request import (
    AGENT,
    CLIENT,
    DURATION,
    METHOD,
    METHODS,
    PATH,
    QUERY,
    SERVER,
    SIZE,
    STATUS,
    USER,
    Attributes,
    add_agent,
    add_clients,
    add_request,
    add_server,
    add_target,
    decimal,
    seconds,
    whole,
)

# A record without one of these keys is no access log.
MARKS = frozenset(
    (
        *("method", "httpMethod", "req.method", "request.method", "request_method", "RequestMethod"),
        *("remote_addr", "remote_ip", "request", "http_user_agent", "request_uri", "body_bytes_sent", "response_code"),
        *("DownstreamStatus", "ClientRequestMethod", "httpRequest.requestMethod", "http.method", "verb"),
        "properties.httpMethod",
    )
)
_TEXT_CHARS = 16_384


def _method(value: str, into: Attributes) -> None:
    if value in METHODS:
        into[METHOD] = value


def _path(value: str, into: Attributes) -> None:
    if value[:1] == "/" or "://" in value[:16]:
        add_target(value, into)


def _query(value: str, into: Attributes) -> None:
    if value not in ("", "-"):
        into[QUERY] = value.lstrip("?")


def _user(value: str, into: Attributes) -> None:
    if value not in ("", "-"):
        into[USER] = value


def _status(value: str, into: Attributes) -> None:
    status = whole(value)
    if status is not None and 100 <= status <= 599:
        into[STATUS] = status


def _size(value: str, into: Attributes) -> None:
    size = whole(value)
    if size is not None:
        into[SIZE] = size


def _duration(unit_s: float) -> Callable[[str, Attributes], None]:
    def take(value: str, into: Attributes) -> None:
        number = decimal(value)
        if number is not None:
            into[DURATION] = round(number * unit_s, 9)

    return take


def _with_unit(value: str, into: Attributes) -> None:
    found = seconds(value)
    if found is not None:
        into[DURATION] = found


_Take = Callable[[str, Attributes], None]
_METHODS = (
    *("request_method", "RequestMethod", "request.method", "req.method", "httpMethod", "httpRequest.requestMethod"),
    *("ClientRequestMethod", "http.method", "properties.httpMethod", "method", "verb"),
)
_PATHS = (
    *("request_uri", "RequestPath", "request.uri", "req.url", "httpRequest.requestUrl", "ClientRequestURI"),
    *("resourcePath", "http.target", "http.url", "properties.requestUri", "uri", "path", "url", "request"),
)
_STATUSES = (
    *("status", "DownstreamStatus", "res.statusCode", "response.status", "httpRequest.status", "response_code"),
    *("EdgeResponseStatus", "http.status_code", "properties.httpStatus", "status_code", "statusCode", "StatusCode"),
    "response",
)
_SIZES = (
    *("body_bytes_sent", "DownstreamContentSize", "size", "response.size", "httpRequest.responseSize", "bytes_out"),
    *("EdgeResponseBytes", "responseLength", "properties.sentBytes", "bytes_sent", "bytes"),
)
_CLIENTS = (
    *("request.client_ip", "ClientHost", "request.remote_ip", "ClientAddr", "remote_addr", "httpRequest.remoteIp"),
    *("req.remoteAddress", "ClientIP", "x_forwarded_for", "fwd", "downstream_remote_address", "remote_ip"),
    *("client_ip", "clientip", "network.client.ip", "properties.clientIP", "request.remote_addr", "ip"),
)
_AGENTS = (
    *("http_user_agent", "request_User-Agent", "request.headers.User-Agent", "request.headers.user-agent"),
    *("req.headers.user-agent", "httpRequest.userAgent", "ClientRequestUserAgent", "user_agent", "user-agent"),
    *("http.useragent", "http.user_agent", "properties.userAgent", "userAgent", "agent"),
)
_SERVERS = (
    *("RequestHost", "request.host", "request.headers.host", "req.headers.host", "ClientRequestHost", "authority"),
    *("http_host", "host", "server_name"),
)
_MILLISECONDS = (
    *("duration_ms", "latency_ms", "elapsed_ms", "response_time_ms", "request_time_ms", "took_ms"),
    *("durationMs", "latencyMs", "elapsedMs", "responseTimeMs"),
)
# Of each field the first key that gives one.
_FIELDS: tuple[tuple[str, _Take, tuple[str, ...]], ...] = (
    (METHOD, _method, _METHODS),
    (METHOD, add_request, ("request",)),
    (PATH, _path, _PATHS),
    (QUERY, _query, ("query_string", "args", "queryString", "query")),
    (STATUS, _status, _STATUSES),
    (SIZE, _size, _SIZES),
    (CLIENT, add_clients, _CLIENTS),
    (AGENT, add_agent, _AGENTS),
    (SERVER, add_server, _SERVERS),
    (USER, _user, ("remote_user", "ClientUsername", "user_id")),
    (DURATION, _duration(1.0), ("request_time", "properties.timeTaken")),
    (DURATION, _duration(1e-3), _MILLISECONDS),
    (DURATION, _with_unit, ("httpRequest.latency", "latency_human", "service")),
)
# A key, what stands beside it where its unit is known, and that unit in seconds.
_DURATIONS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("Duration", ("DownstreamStatus", "RequestMethod"), 1e-9),  # Traefik
    ("duration", ("request.method", "request.uri"), 1.0),  # Caddy
    ("duration", ("response_code", "response_flags"), 1e-3),  # Envoy
    ("latency", ("latency_human", "remote_ip"), 1e-9),  # Echo
    ("duration", ("controller", "action"), 1e-3),  # lograge
    ("responseTime", ("req.method", "res.statusCode"), 1e-3),  # pino-http
    ("latencies.request", ("request.method", "response.status"), 1e-3),  # Kong
    ("Elapsed", ("RequestMethod", "StatusCode"), 1e-3),  # Serilog in ASP.NET
)


def with_fields(pairs: dict[str, Any]) -> dict[str, Any]:
    """`pairs` with the fields behind the sender's own keys; the same object where it is no access log."""
    if MARKS.isdisjoint(pairs):
        return pairs
    found = _found(pairs)
    if STATUS not in found or (METHOD not in found and PATH not in found):
        return pairs
    return {**pairs, **{key: value for key, value in found.items() if key not in pairs}}


def _found(pairs: dict[str, Any]) -> Attributes:
    found: Attributes = {}
    for name, take, keys in _FIELDS:
        if name in found:
            continue
        for key in keys:
            text = _text(pairs.get(key))
            if text:
                take(text, found)
                if name in found:
                    break
    if DURATION not in found:
        for key, marks, unit_s in _DURATIONS:
            if key in pairs and all(mark in pairs for mark in marks):
                _duration(unit_s)(_text(pairs[key]), found)
                break
    return found


def _text(value: object) -> str:
    """A value as text; of a list its first, as Caddy writes headers."""
    if type(value) is list and value:
        value = value[0]
    if type(value) is str:
        return value[:_TEXT_CHARS]
    if type(value) is int or type(value) is float:
        return f"{value:.9f}" if type(value) is float and abs(value) < 1e12 else str(value)[:32]
    return ""
