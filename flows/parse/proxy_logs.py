"""Request logs that are no relative of the common format -> HTTP fields by OpenTelemetry's names.

AWS load balancers, CloudFront, Envoy, IIS, S3 and Squid write one line for each request; uvicorn, Gin and Morgan one
on the console. Every reader takes the line and where the part after its time begins, and gives None where the line is
of another form.
"""

from __future__ import annotations

from urllib.parse import unquote

from flows.parse.http_request import (
    CLIENT,
    DURATION,
    METHOD,
    METHODS,
    PATH,
    QUERY,
    SCHEME,
    SERVER_PORT,
    STATUS,
    USER,
    Attributes,
    add_agent,
    add_client,
    add_clients,
    add_duration,
    add_request,
    add_server,
    add_size,
    add_status,
    add_target,
    decimal,
    is_address,
    seconds,
)

_MILLISECOND_S = 1e-3
_LONGEST = 16_384  # characters of a line that are looked at


def load_balancer(line: str, start: int) -> Attributes | None:
    """AWS: ` app/lb/1 10.0.0.1:2817 10.0.0.2:80 0.000 0.001 0.000 200 200 34 366 "GET https://… HTTP/1.1" "agent" …`"""
    pieces = line[start : start + _LONGEST].split('"', 4)
    words = pieces[0].split()
    if len(pieces) < 3 or len(words) != 10 or decimal(words[4].lstrip("-")) is None:
        return None
    attributes: Attributes = {}
    add_client(words[1], attributes)
    times = [decimal(word) for word in words[3:6]]
    if None not in times:
        attributes[DURATION] = round(sum(time or 0.0 for time in times), 9)
    add_status(words[6], attributes)
    add_size(words[9], attributes)
    add_request(pieces[1], attributes)
    if len(pieces) > 3:
        add_agent(pieces[3], attributes)
    return attributes


def cloudfront(line: str, start: int) -> Attributes | None:
    """After date and time: tab, place, bytes, client, method, host, path, status, referer, agent, query …"""
    words = line[start + 1 : start + _LONGEST].split("\t")
    if len(words) < 10 or words[3] not in METHODS:
        return None
    attributes: Attributes = {METHOD: words[3]}
    add_size(words[1], attributes)
    add_client(words[2], attributes)
    add_server(words[13] if len(words) > 13 and words[13] != "-" else words[4], attributes)
    add_target(words[5], attributes)
    add_status(words[6], attributes)
    add_agent(unquote(unquote(words[8][:4096])), attributes)
    if words[9] != "-":
        attributes[QUERY] = words[9]
    if len(words) > 14 and words[14].isalpha():
        attributes[SCHEME] = words[14]
    if len(words) > 16:
        add_duration(words[16], 1.0, attributes)
    return attributes


def envoy(line: str, start: int) -> Attributes | None:
    """` "GET /cart HTTP/1.1" 502 UF 0 91 12 - "forwarded for" "agent" "request id" "host" "upstream"`, or Istio's."""
    pieces = line[start : start + _LONGEST].split('"')
    if len(pieces) < 11 or pieces[0] != " ":
        return None
    answer = pieces[2].split()
    numbers, quoted = answer[2:], pieces[3::2]
    if len(numbers) == 2:  # Istio writes why the answer is what it is, and the failure in quotes
        numbers, quoted = pieces[4].split(), pieces[5::2]
    if len(numbers) != 4 or len(quoted) < 4 or len(answer[0]) > 3 or not answer[0].isdecimal():
        return None
    attributes: Attributes = {}
    add_request(pieces[1], attributes)
    add_status(answer[0], attributes)
    add_size(numbers[1], attributes)
    add_duration(numbers[2], _MILLISECOND_S, attributes)
    add_clients(quoted[0], attributes)
    add_agent(quoted[1], attributes)
    add_server(quoted[3], attributes)
    addresses = pieces[-1].split()
    if CLIENT not in attributes and len(addresses) > 3:
        add_client(addresses[3], attributes)  # cluster, its local address, the local and the remote one of the client
    return attributes


def iis(line: str, start: int) -> Attributes | None:
    """IIS: ` 10.0.0.2 GET /cart x=1 443 - 10.0.0.1 curl/8.5 - 502 0 0 12`, without referer, or with all its fields."""
    words = line[start : start + _LONGEST].split()
    at = next((at for at, word in enumerate(words[1:4], 1) if word in METHODS), 0)
    if at == 0 or not 11 <= len(words) - at <= 19 or not is_address(words[at - 1]):
        return None
    attributes: Attributes = {METHOD: words[at], PATH: words[at + 1]}
    if words[at + 2] != "-":
        attributes[QUERY] = words[at + 2]
    add_server(words[at - 1], attributes)
    if words[at + 3].isdecimal() and len(words[at + 3]) <= 5:
        attributes[SERVER_PORT] = int(words[at + 3])
    if words[at + 4] != "-":
        attributes[USER] = words[at + 4]
    add_client(words[at + 5], attributes)
    whole = words[at + 6][:5] == "HTTP/"  # then agent, cookie, referer, host, status …, bytes sent, received, time
    add_agent(words[at + 6 + whole].replace("+", " "), attributes)
    add_status(words[-6 if whole else -4], attributes)
    if whole:
        add_size(words[-3], attributes)
    add_duration(words[-1], _MILLISECOND_S, attributes)
    return attributes if STATUS in attributes else None


def squid(line: str, start: int) -> Attributes | None:
    """Squid, native: `    12 10.0.0.1 TCP_MISS/200 150 GET http://shop.example/cart - DIRECT/10.1.0.2 text/html`"""
    words = line[start : start + _LONGEST].split()
    if len(words) < 9 or "/" not in words[2] or not words[2][:3].isupper():
        return None
    attributes: Attributes = {}
    add_client(words[1], attributes)
    add_status(words[2].partition("/")[2], attributes)
    add_size(words[3], attributes)
    add_request(f"{words[4]} {words[5]}", attributes)
    add_duration(words[0], _MILLISECOND_S, attributes)
    if words[6] != "-":
        attributes[USER] = words[6]
    return attributes


def s3(line: str, start: int) -> Attributes | None:
    """After the time: ` 10.0.0.1 requester id REST.GET.OBJECT key "GET /… HTTP/1.1" 200 - 113 - 7 5 "-" "agent" …`"""
    pieces = line[start : start + _LONGEST].split('"', 6)
    words = pieces[0].split()
    if len(pieces) < 3 or len(words) != 5 or words[3].count(".") < 1 or not words[3].isupper():
        return None
    attributes: Attributes = {}
    add_client(words[0], attributes)
    add_request(pieces[1], attributes)
    answer = pieces[2].split()
    if len(answer) != 6 or not add_status(answer[0], attributes):
        return None
    add_size(answer[2], attributes)
    add_duration(answer[4], _MILLISECOND_S, attributes)
    if len(pieces) > 5:
        add_agent(pieces[5], attributes)
    return attributes


def uvicorn(line: str, start: int) -> Attributes | None:
    """` 127.0.0.1:4711 - "GET /cart HTTP/1.1" 502 Bad Gateway`, after its level."""
    pieces = line[start : start + _LONGEST].split('"', 2)
    if len(pieces) < 3 or pieces[0][-3:] != " - ":
        return None
    attributes: Attributes = {}
    add_client(pieces[0][:-3].strip(), attributes)
    add_request(pieces[1], attributes)
    words = pieces[2].split(None, 1)
    return attributes if words and METHOD in attributes and add_status(words[0], attributes) else None


def gin(line: str, start: int) -> Attributes | None:
    """` | 502 |    3.123ms |  10.0.0.1 | GET      "/cart?x=1"`, after the time."""
    parts = line[start : start + _LONGEST].split("|", 4)
    if len(parts) < 5:
        return None
    attributes: Attributes = {}
    method, _, target = parts[4].strip().partition(" ")
    duration = seconds(parts[2].strip())
    if not add_status(parts[1].strip(), attributes) or not method.isupper() or duration is None:
        return None
    attributes[DURATION] = duration
    add_client(parts[3].strip(), attributes)
    attributes[METHOD] = method
    add_target(target.strip().partition("\n")[0].strip('"'), attributes)
    return attributes


def morgan(line: str, start: int) -> Attributes | None:
    """`GET /cart?x=1 502 150 - 3.123 ms` and `GET /cart?x=1 502 3.123 ms - 150`"""
    words = line[start : start + _LONGEST].split()
    if len(words) != 7 or words[0] not in METHODS or words[1][:1] != "/" or "ms" not in (words[4], words[6]):
        return None
    attributes: Attributes = {METHOD: words[0]}
    add_target(words[1], attributes)
    if not add_status(words[2], attributes):
        return None
    time, size = (words[5], words[3]) if words[6] == "ms" else (words[3], words[6])
    add_size(size, attributes)
    add_duration(time, _MILLISECOND_S, attributes)
    return attributes


def uwsgi(line: str, start: int) -> Attributes | None:
    """After the time: `] GET /cart => generated 150 bytes in 12 msecs (HTTP/1.1 502) …`"""
    request, arrow, answer = line[start : start + _LONGEST].partition(" => generated ")
    words = answer.split(None, 7)
    if not arrow or len(words) < 7 or words[4] != "msecs":
        return None
    attributes: Attributes = {}
    add_client(line[: start + 1].partition("] ")[2].partition(" ")[0], attributes)
    add_request(request.lstrip("] "), attributes)
    add_size(words[0], attributes)
    add_duration(words[3], _MILLISECOND_S, attributes)
    add_status(words[6].rstrip(")"), attributes)
    return attributes


def chi(line: str, start: int) -> Attributes | None:
    """` [host/id-000001] "GET http://shop.example/cart HTTP/1.1" from 10.0.0.1:4711 - 502 150B in 3.1ms`"""
    pieces = line[start : start + _LONGEST].split('"', 2)
    words = pieces[-1].split()
    if len(pieces) < 3 or len(words) != 7 or words[0] != "from" or words[5] != "in":
        return None
    attributes: Attributes = {}
    add_request(pieces[1], attributes)
    add_client(words[1], attributes)
    add_size(words[4].removesuffix("B"), attributes)
    duration = seconds(words[6])
    if duration is not None:
        attributes[DURATION] = duration
    return attributes if METHOD in attributes and add_status(words[3], attributes) else None


def apache_ssl(line: str, start: int) -> Attributes | None:
    """Apache's log of TLS requests: ` 10.0.0.1 TLSv1.3 TLS_AES_256_GCM_SHA384 "GET /cart HTTP/1.1" 150`"""
    pieces = line[start : start + _LONGEST].split('"', 2)
    words = pieces[0].split()
    if len(pieces) < 3 or len(words) != 3 or words[1][:3] not in ("TLS", "SSL", "-"):
        return None
    attributes: Attributes = {}
    add_client(words[0], attributes)
    add_request(pieces[1], attributes)
    add_size(pieces[2].strip(), attributes)
    return attributes
