"""Access log: a line in the common or combined format -> its time and HTTP fields by OpenTelemetry's names."""

from __future__ import annotations

from typing import Any

from text.times import common_log

Access = tuple[int, dict[str, Any], str | None]


def parse(line: str, arrival_ns: int) -> Access | None:
    """(time_ns, attributes, zone) of `client - user [time] "request" status bytes "referer" "agent"`, or None."""
    opening = line.find(" [", 0, 512)
    if opening < 0:
        return None
    time = common_log(line, opening + 2, arrival_ns)
    if time is None:
        return None
    pieces = line[time[1] :].split('"', 5)
    if len(pieces) < 3 or pieces[0] != "] ":
        return None
    who = line[:opening].split(" ")
    attributes: dict[str, Any] = {"client.address": who[0]}
    if len(who) == 3 and who[2] != "-":
        attributes["user.name"] = who[2]
    _request(pieces[1], attributes)
    _answer(pieces[2].split(), attributes)
    if len(pieces) == 6 and (agent := pieces[5].rstrip('" ')) not in ("-", ""):
        attributes["user_agent.original"] = agent
    return time[0], attributes, time[2]


def _request(request: str, attributes: dict[str, Any]) -> None:
    words = request.split(" ")
    if len(words) == 3 and words[0].isupper():
        attributes["http.request.method"] = words[0]
        path, _, query = words[1].partition("?")
        attributes["url.path"] = path
        if query:
            attributes["url.query"] = query


def _answer(words: list[str], attributes: dict[str, Any]) -> None:
    if words and len(words[0]) == 3 and words[0].isdecimal():
        attributes["http.response.status_code"] = int(words[0])
    if len(words) > 1 and len(words[1]) <= 18 and words[1].isdecimal():
        attributes["http.response.body.size"] = int(words[1])
